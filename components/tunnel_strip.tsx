/** Ports of a session: a card for each that began to listen, the tunnels that are open, and a preview beside the timeline. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { errorText } from "@/client/api.ts";
import { closeTunnel, entryOf, exposePort, tunnelsOf } from "@/client/tunnels.ts";
import type { TunnelInfo } from "@/protocol/tunnel.ts";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";
import { TunnelDetails } from "./tunnel_details.tsx";

/** A previewed page is a stranger's: it may run in its own origin, and neither leave its frame nor reach this one. */
const SANDBOX = "allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-downloads";
/** A page of the path form is on the hub's address, so it must not have the hub's origin. */
const SANDBOX_PATH = "allow-scripts allow-forms allow-modals allow-popups allow-downloads";

export function TunnelStrip(): JSX.Element | null {
  const { store, isPortsOpen } = useSession();
  const tunnels = useSignal<TunnelInfo[]>([]);
  const dismissed = useSignal<readonly number[]>([]);
  const preview = useSignal<{ url: string; tunnel: TunnelInfo } | null>(null);
  const problem = useSignal<string | null>(null);
  const port = useSignal("");
  const info = store.info.value;
  const { ports = [] } = store.meta.value;
  const attempt = async (work: () => Promise<void>) => {
    problem.value = null;
    try {
      await work();
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  const load = () => attempt(async () => void (tunnels.value = await tunnelsOf(store.sessionId)));
  const listening = ports.map((one) => one.port).join();
  useEffect(() => void load(), [listening]);
  const runnerId = info?.runnerId;
  if (!runnerId) return null;
  const show = (exposed: number, isTab: boolean) => {
    // A tab that is opened later than the click would be taken for a pop-up.
    const tab = isTab ? open("about:blank", "_blank") : null;
    if (tab) tab.opener = null;
    return attempt(async () => {
      try {
        const known = tunnels.value.find((tunnel) => tunnel.port === exposed);
        const tunnel = known ?? await exposePort({ runnerId, port: exposed, sessionId: store.sessionId });
        const url = await entryOf(tunnel);
        if (tab) tab.location.replace(url);
        else preview.value = { url, tunnel };
        if (!known) await load();
      } catch (error) {
        tab?.close();
        throw error;
      }
    });
  };
  const fresh = ports.filter((one) =>
    !dismissed.value.includes(one.port) && !tunnels.value.some((tunnel) => tunnel.port === one.port)
  );
  const openings = (exposed: number) => (
    <>
      <button type="button" class="button" onClick={() => show(exposed, false)}>Preview</button>
      <button type="button" class="button is-quiet" onClick={() => show(exposed, true)}>New tab</button>
    </>
  );
  return (
    <>
      {fresh.map((one) => (
        <section key={one.port} class="strip tunnel-card" aria-label={`Port ${one.port}`}>
          <p>
            <strong>Port {one.port}</strong> is listening{one.process && <>({one.process})</>}
          </p>
          {openings(one.port)}
          <button
            type="button"
            class="button is-quiet is-icon"
            aria-label={`Dismiss port ${one.port}`}
            onClick={() => dismissed.value = [...dismissed.value, one.port]}
          >
            <Icon name="close" />
          </button>
        </section>
      ))}
      {(isPortsOpen.value || tunnels.value.length > 0) && (
        <details
          class="strip tunnels"
          open={isPortsOpen.value}
          onToggle={(event) => isPortsOpen.value = event.currentTarget.open}
        >
          <summary>
            <Icon name="fetch" />
            <span>Ports{tunnels.value.length > 0 && ` (${tunnels.value.length})`}</span>
            <Icon name="chevron" />
          </summary>
          <ul class="tunnel-list">
            {tunnels.value.map((tunnel) => (
              <li key={tunnel.tunnelId}>
                <p>
                  <strong>{tunnel.name}</strong> port {tunnel.port}
                  {!tunnel.isConnected && <span class="quiet">(runner offline)</span>}
                </p>
                {openings(tunnel.port)}
                <button
                  type="button"
                  class="button is-quiet"
                  onClick={() => attempt(() => closeTunnel(tunnel.tunnelId)).then(load)}
                >
                  Close
                </button>
                <TunnelDetails tunnel={tunnel} onChange={load} />
              </li>
            ))}
          </ul>
          <form
            class="tunnel-form"
            onSubmit={(event) => {
              event.preventDefault();
              void attempt(async () => {
                await exposePort({ runnerId, port: Number(port.value), sessionId: store.sessionId });
                port.value = "";
              }).then(load);
            }}
          >
            <label>
              Port{" "}
              <input
                class="field"
                type="number"
                min="1"
                max="65535"
                required
                value={port.value}
                onInput={(event) => port.value = event.currentTarget.value}
              />
            </label>
            <button type="submit" class="button">Expose</button>
          </form>
        </details>
      )}
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      {preview.value && (
        <aside class="tunnel-preview" aria-label={`Preview of ${preview.value.tunnel.name}`}>
          <header>
            <strong>{preview.value.tunnel.name}</strong>
            <button
              type="button"
              class="button is-quiet is-icon"
              aria-label="Close the preview"
              onClick={() => preview.value = null}
            >
              <Icon name="close" />
            </button>
          </header>
          <iframe
            title={`Preview of ${preview.value.tunnel.name}`}
            src={preview.value.url}
            sandbox={preview.value.tunnel.address?.form === "path" ? SANDBOX_PATH : SANDBOX}
            referrerpolicy="no-referrer"
          />
        </aside>
      )}
    </>
  );
}
