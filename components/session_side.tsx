/** What stands beside a session's timeline: its ports, or the preview of one of them. Loaded when it is first wanted. */
import * as z from "zod/mini";
import type { ComponentChildren, JSX } from "preact";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { api, errorText } from "@/client/api.ts";
import { entryOf, tabOf } from "@/client/tunnels.ts";
import { RunnerInfo } from "@/protocol/shared.ts";
import type { TunnelInfo } from "@/protocol/tunnel.ts";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";
import { SideHandle } from "./side_handle.tsx";
import { TunnelPanel } from "./tunnel_panel.tsx";

const OneRunner = z.object({ runner: RunnerInfo });

/** A previewed page is a stranger's: it may run in its own origin, and neither leave its frame nor reach this one. */
const SANDBOX = "allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-downloads";
/** A page of the path form is on the hub's address, so it must not have the hub's origin. */
const SANDBOX_PATH = "allow-scripts allow-forms allow-modals allow-popups allow-downloads";

/** Renders nothing while there is nothing to stand there. */
export function SessionSideView(): JSX.Element | null {
  const { side } = useSession();
  const shown = side.value;
  if (shown === null) return null;
  return shown.kind === "ports"
    ? (
      <Pane label="Ports">
        <Ports />
      </Pane>
    )
    : (
      <Pane label={`Preview of ${shown.tunnel.name}`}>
        <Preview tunnel={shown.tunnel} url={shown.url} />
      </Pane>
    );
}

function Ports(): JSX.Element | null {
  const { store, side, tunnels } = useSession();
  const problem = useSignal<string | null>(null);
  const info = store.info.value;
  const runner = useSignal<RunnerInfo | null>(null);
  const runnerId = info?.runnerId ?? null;
  useEffect(() => void tunnels.refresh(), [tunnels]);
  useEffect(() => {
    if (runnerId === null) return;
    api(OneRunner, "GET", `/api/runners/${encodeURIComponent(runnerId)}`).then(
      (answer) => runner.value = answer.runner,
      (error) => problem.value = errorText(error),
    );
  }, [runnerId, info?.isActive]);
  if (!info || runnerId === null) return null;
  const preview = async (tunnel: TunnelInfo) => {
    problem.value = null;
    const shown = side.peek();
    try {
      const url = await entryOf(tunnel);
      // Unless the pane was closed meanwhile.
      if (side.peek() === shown) side.value = { kind: "preview", tunnel, url };
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <>
      <Head>
        <h2>Ports</h2>
      </Head>
      <div class="side-body">
        {problem.value && <p class="refusal" role="alert">{problem.value}</p>}
        <TunnelPanel
          list={tunnels}
          runnerId={runnerId}
          isConnected={runner.value?.isConnected ?? true}
          sessionId={store.sessionId}
          sessions={[]}
          hosts={runner.value?.tunnelHosts ?? []}
          onPreview={preview}
        />
      </div>
    </>
  );
}

function Preview({ tunnel, url }: { tunnel: TunnelInfo; url: string }): JSX.Element {
  const { side, tunnels } = useSession();
  const problem = useSignal<string | null>(null);
  const isClosed = tunnels.items.value?.every(({ tunnelId }) => tunnelId !== tunnel.tunnelId) ?? false;
  // The page is a stranger's and cannot be told to reload: its frame goes in anew.
  const reload = async () => {
    problem.value = null;
    const shown = side.peek();
    try {
      const url = await entryOf(tunnel);
      if (side.peek() === shown) side.value = { kind: "preview", tunnel, url };
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  const back = () => side.value = { kind: "ports" };
  return (
    <>
      <Head>
        <button type="button" class="button is-quiet is-icon" aria-label="Ports" title="Ports" onClick={back}>
          <Icon name="back" />
        </button>
        <h2>
          {tunnel.name}{" "}
          {!tunnel.name.includes(`${tunnel.port}`) && <code>{tunnel.host ?? "localhost"}:{tunnel.port}</code>}
        </h2>
        <button type="button" class="button is-quiet is-icon" aria-label="Reload" title="Reload" onClick={reload}>
          <Icon name="reload" />
        </button>
        <a
          class="button is-quiet is-icon"
          href={tabOf(tunnel)}
          target="_blank"
          rel="noreferrer"
          aria-label="Open in a new tab"
          title="Open in a new tab"
        >
          <Icon name="open" />
        </a>
      </Head>
      {problem.value && <p class="refusal" role="alert">{problem.value}</p>}
      {isClosed && <p class="refusal" role="status">This port was closed: nothing of it can be loaded any more.</p>}
      <iframe
        key={url}
        class="side-frame"
        title={`Preview of ${tunnel.name}`}
        src={url}
        sandbox={tunnel.address?.form === "path" ? SANDBOX_PATH : SANDBOX}
        referrerpolicy="no-referrer"
      />
    </>
  );
}

/** The pane itself. It takes the focus, and gives it back when it closes; Escape closes it. */
function Pane({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  const { side } = useSession();
  const pane = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    // Once the pane is gone: on a phone nothing behind it takes the focus.
    return () => void requestAnimationFrame(() => giveBack(before));
  }, []);
  // What was pressed in it may be gone with what it showed.
  useEffect(() => pane.current?.focus(), [label]);
  return (
    <aside
      ref={pane}
      class="session-side"
      aria-label={label}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
        side.value = null;
      }}
    >
      <SideHandle pane={pane} />
      {children}
    </aside>
  );
}

function Head({ children }: { children: ComponentChildren }): JSX.Element {
  const { side } = useSession();
  return (
    <header class="side-head">
      {children}
      <button
        type="button"
        class="button is-quiet is-icon"
        aria-label="Close"
        title="Close"
        onClick={() => side.value = null}
      >
        <Icon name="close" />
      </button>
    </header>
  );
}

/** What had the focus before may be gone with what it did: then it goes to the menu, from where the pane opens, too. */
function giveBack(before: Element | null): void {
  const isThere = before instanceof HTMLElement && before !== document.body && before.checkVisibility();
  const element = isThere ? before : document.querySelector<HTMLElement>(".session-head .menu > summary");
  element?.focus();
}
