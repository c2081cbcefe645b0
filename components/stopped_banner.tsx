/** What to do when reconnecting has ended for good. */
import type { ReadonlySignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { SocketState } from "@/client/live_socket.ts";

export function StoppedBanner({ state }: { state: ReadonlySignal<SocketState> }): JSX.Element | null {
  const reason = state.value.kind === "stopped" ? state.value.reason : null;
  useEffect(() => {
    if (reason !== "signed_out") return;
    location.assign(`/login?${new URLSearchParams({ next: location.pathname })}`);
  }, [reason]);
  if (reason === "version") {
    return (
      <div class="banner" role="alert">
        <p>The hub has a newer version than this page.</p>
        <button type="button" class="button is-primary" onClick={() => location.reload()}>Reload to update</button>
      </div>
    );
  }
  if (reason === "signed_out") {
    return (
      <div class="banner" role="alert">
        <p>You are signed out.</p>
        <a href="/login">Sign in</a>
      </div>
    );
  }
  return null;
}
