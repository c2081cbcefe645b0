/** What the page may honestly say about its connection to a session. Pure. */
import type { SocketState } from "./live_socket.ts";

export interface ConnectionLabel {
  tone: "live" | "busy" | "down";
  text: string;
}

/**
 * @param state the socket to the hub
 * @param isHostConnected whether the session's host is connected to the hub; null when not known
 * @param hasEnded an ended session has no host, and that is no fault
 * @param now ms since the epoch
 */
export function connectionLabel(
  state: SocketState,
  isHostConnected: boolean | null,
  hasEnded: boolean,
  isOnline: boolean,
  now: number,
): ConnectionLabel {
  switch (state.kind) {
    case "connecting":
      return { tone: "busy", text: "Connecting" };
    case "waiting": {
      if (!isOnline) return { tone: "down", text: "Offline" };
      const seconds = Math.max(1, Math.ceil((state.retryAt - now) / 1_000));
      return { tone: "down", text: `Reconnecting in ${seconds} s` };
    }
    case "stopped":
      return { tone: "down", text: state.reason === "signed_out" ? "Signed out" : "Disconnected" };
    case "live":
      if (!state.isAnswering) return { tone: "busy", text: "Not answering" };
      if (isHostConnected === false && !hasEnded) return { tone: "down", text: "Runner offline" };
      return { tone: "live", text: "Live" };
  }
}
