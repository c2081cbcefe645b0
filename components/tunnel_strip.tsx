/** Ports of a session in its dock: a card for those that began to listen, and how many are exposed. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { dismissedPorts, dismissPort } from "@/client/dismissed_ports.ts";
import { plural } from "@/client/format.ts";
import { entryOf, exposePort, tabOf } from "@/client/tunnels.ts";
import type { ListeningPort } from "@/protocol/tunnel.ts";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";
import { useAttempt } from "./use_attempt.ts";

/** Cards that are shown at once; the rest is in the list of ports. */
const CARDS_MAX = 3;

/** @param changes another number whenever tunnels may have changed */
export function TunnelStrip({ changes }: { changes: number }): JSX.Element | null {
  const { store, side, tunnels } = useSession();
  const dismissed = useSignal<ReadonlySet<number>>(new Set());
  useEffect(() => {
    dismissed.value = dismissedPorts(sessionStorage, store.sessionId);
  }, []);
  const { ports = [] } = store.meta.value;
  const listening = ports.map((one) => one.port).join();
  useEffect(() => void tunnels.refresh(), [changes, listening]);
  const items = tunnels.items.value;
  const runnerId = store.info.value?.runnerId;
  if (!runnerId || items === null) return null;
  // What a session's processes listened on when it ended, nobody listens on any more.
  const fresh = store.activity.value === "ended"
    ? []
    : ports.filter(({ port }) =>
      !dismissed.value.has(port) && !items.some((tunnel) => tunnel.port === port && tunnel.host === null)
    );
  return (
    <>
      {fresh.slice(0, CARDS_MAX).map((listener) => (
        <PortCard
          key={listener.port}
          listener={listener}
          runnerId={runnerId}
          onDismiss={() => dismissed.value = dismissPort(sessionStorage, store.sessionId, listener.port)}
        />
      ))}
      {items.length > 0 && (
        <button
          type="button"
          class="strip tunnel-strip"
          aria-expanded={side.value !== null}
          onClick={() => side.value = side.value === null ? { kind: "ports" } : null}
        >
          <Icon name="fetch" />
          <span>{plural(items.length, "exposed port")}</span>
          <span class="tunnel-strip-names">{items.map(({ name }) => name).join(", ")}</span>
          <Icon name="chevron" />
        </button>
      )}
    </>
  );
}

interface PortCardProps {
  listener: ListeningPort;
  runnerId: string;
  onDismiss: () => void;
}

/** A port on which something in the session began to listen. */
function PortCard({ listener: { port, process }, runnerId, onDismiss }: PortCardProps): JSX.Element {
  const { store, side, tunnels } = useSession();
  const { problem, isBusy, attempt } = useAttempt();
  const expose = () => exposePort({ runnerId, port, sessionId: store.sessionId });
  const preview = () =>
    attempt(async () => {
      const tunnel = await expose();
      await tunnels.refresh();
      side.value = { kind: "preview", tunnel, url: await entryOf(tunnel) };
    });
  const openTab = () => {
    // A tab that is opened later than the click would be taken for a pop-up.
    const tab = open("about:blank", "_blank");
    if (tab) tab.opener = null;
    return attempt(async () => {
      try {
        const tunnel = await expose();
        tab?.location.replace(new URL(tabOf(tunnel), location.href));
        await tunnels.refresh();
      } catch (error) {
        tab?.close();
        throw error;
      }
    });
  };
  return (
    <section class="strip tunnel-card" aria-label={`Port ${port}`}>
      <Icon name="fetch" />
      <p>
        <strong>Port {port}</strong> is listening
        {process && <span class="quiet">{process}</span>}
        {problem.value && <span class="problem" role="alert">{problem.value.text}</span>}
      </p>
      <button type="button" class="button is-primary" disabled={isBusy.value} onClick={preview}>Preview</button>
      <button
        type="button"
        class="button is-quiet is-icon"
        aria-label={`Open port ${port} in a new tab`}
        title="Open in a new tab"
        disabled={isBusy.value}
        onClick={openTab}
      >
        <Icon name="open" />
      </button>
      <button
        type="button"
        class="button is-quiet is-icon"
        aria-label={`Dismiss port ${port}`}
        onClick={onDismiss}
      >
        <Icon name="close" />
      </button>
    </section>
  );
}
