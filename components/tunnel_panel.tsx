/** The exposed ports of a session or a runner: a form to expose one more, and each with what can be done to it. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import type { TunnelList } from "@/client/tunnel_list.ts";
import type { TunnelInfo } from "@/protocol/tunnel.ts";
import { Icon } from "./icons.tsx";
import { ExposeForm, type SessionChoice } from "./tunnel_expose.tsx";
import { TunnelItem } from "./tunnel_item.tsx";

export interface TunnelPanelProps {
  list: TunnelList;
  runnerId: string;
  /** Whether the runner is connected now: without it no port can be exposed. */
  isConnected: boolean;
  /** The session that new tunnels belong to; null: these are the runner's, and each may belong to one of `sessions`. */
  sessionId: string | null;
  sessions: readonly SessionChoice[];
  /** Shows a tunnel's page beside what is there; absent: there is no room for that. */
  onPreview?: (tunnel: TunnelInfo) => void;
}

export function TunnelPanel(props: TunnelPanelProps): JSX.Element {
  const { list, isConnected, sessionId, sessions, onPreview } = props;
  const isExposing = useSignal(false);
  const items = list.items.value;
  const isEmpty = items?.length === 0;
  return (
    <div class="tunnel-panel">
      {list.problem.value && <p class="refusal" role="alert">{list.problem.value}</p>}
      {!isConnected && <p class="tunnel-note" role="status">The runner is offline: nothing goes through now.</p>}
      {items === null && !list.problem.value && <p class="quiet" role="status">Looking for ports…</p>}
      {isEmpty && (
        <p class="quiet">
          No port is exposed. An exposed port of that machine can be opened from here and from anywhere you are signed
          in; nobody else can, unless you make a link for them.
        </p>
      )}
      {items !== null && items.length > 0 && (
        <ul class="tunnel-list">
          {items.map((tunnel) => (
            <TunnelItem
              key={tunnel.tunnelId}
              tunnel={tunnel}
              session={sessionId === null ? sessions.find((one) => one.sessionId === tunnel.sessionId) ?? null : null}
              onChange={() => list.refresh()}
              {...(onPreview ? { onPreview } : {})}
            />
          ))}
        </ul>
      )}
      {isExposing.value || isEmpty
        ? (
          <ExposeForm
            {...props}
            onDone={() => {
              isExposing.value = false;
              void list.refresh();
            }}
            {...(isEmpty ? {} : { onCancel: () => isExposing.value = false })}
          />
        )
        : items !== null && (
          <button type="button" class="button" onClick={() => isExposing.value = true}>
            <Icon name="plus" />Expose a port
          </button>
        )}
    </div>
  );
}
