/** The connection's state, ticking once a second while it waits. */
import type { ReadonlySignal } from "@preact/signals";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { connectionLabel } from "@/client/connection_label.ts";
import type { SocketState } from "@/client/live_socket.ts";

interface ConnectionBadgeProps {
  state: ReadonlySignal<SocketState>;
  isHostConnected?: boolean | null;
  hasEnded?: boolean;
}

export function ConnectionBadge(
  { state, isHostConnected = null, hasEnded = false }: ConnectionBadgeProps,
): JSX.Element {
  const now = useSignal(0);
  const isWaiting = state.value.kind === "waiting";
  useEffect(() => {
    now.value = Date.now();
    if (!isWaiting) return;
    const timer = setInterval(() => now.value = Date.now(), 500);
    return () => clearInterval(timer);
  }, [isWaiting]);
  const isOnline = globalThis.navigator?.onLine !== false;
  const label = connectionLabel(state.value, isHostConnected, hasEnded, isOnline, now.value || Date.now());
  return (
    <span class={`connection is-${label.tone}`} role="status">
      <span class="connection-dot" aria-hidden="true" />
      {label.text}
    </span>
  );
}
