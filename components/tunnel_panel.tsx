/** The exposed ports of a session or a runner: a form to expose one more, and each with what can be done to it. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
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
  /** Hosts beside the runner's machine that its owner allows. */
  hosts: readonly string[];
  /** Shows a tunnel's page beside what is there; absent: there is no room for that. */
  onPreview?: (tunnel: TunnelInfo) => void;
}

export function TunnelPanel(props: TunnelPanelProps): JSX.Element {
  const { list, isConnected, sessionId, sessions, onPreview } = props;
  const isExposing = useSignal(false);
  const items = list.items.value;
  const isEmpty = items?.length === 0;
  // The hub tells what people do; that time passes it does not.
  useEffect(() => {
    const dueMs = items === null ? null : nextExpiryMs(items, Date.now());
    if (dueMs === null) return;
    const timer = setTimeout(() => void list.refresh(), dueMs);
    return () => clearTimeout(timer);
  }, [items]);
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

/** Clocks differ: what should have ended and has not is looked for this often. */
const MIN_WAIT_MS = 2_000;
/** A timer waits no longer. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/** In how many ms the next tunnel or share link ends; null: none does. */
function nextExpiryMs(items: readonly TunnelInfo[], now: number): number | null {
  const ends = items.flatMap(({ expiresAt, shares }) => [expiresAt, ...shares.map((share) => share.expiresAt)])
    .filter((at) => at !== null);
  if (ends.length === 0) return null;
  return Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, Math.min(...ends) - now + 500));
}
