/** What an app does on the events of a WebSocket. */
export interface WebSocketHandlers {
  open?(socket: WebSocket): void;
  message?(socket: WebSocket, event: MessageEvent): void;
  close?(socket: WebSocket, code: number, reason: string): void;
  error?(socket: WebSocket, event: Event): void;
}

/** Options of a WebSocket upgrade. */
export interface UpgradeOptions {
  /** Seconds without an answer to a ping after which the socket is closed (default 120). */
  idleTimeout?: number;
  /** The sub-protocol to agree to. */
  protocol?: string;
}

/** Tells `upgrade(handlers, options)` and `upgrade(options)` apart: handlers have a function under an event's name. */
export function splitUpgradeArguments(
  first: WebSocketHandlers | UpgradeOptions | undefined,
  second: UpgradeOptions | undefined,
): { handlers: WebSocketHandlers | null; options: UpgradeOptions } {
  if (first !== undefined && isHandlers(first)) return { handlers: first, options: second ?? {} };
  return { handlers: null, options: (first as UpgradeOptions | undefined) ?? {} };
}

function isHandlers(value: WebSocketHandlers | UpgradeOptions): value is WebSocketHandlers {
  const record = value as Record<string, unknown>;
  return ["open", "message", "close", "error"].some((name) => typeof record[name] === "function");
}

/** Passes the events of `socket` on to `handlers`. */
export function bindSocket(socket: WebSocket, handlers: WebSocketHandlers): void {
  if (handlers.open) socket.onopen = () => handlers.open?.(socket);
  if (handlers.message) socket.onmessage = (event) => handlers.message?.(socket, event);
  if (handlers.close) socket.onclose = (event) => handlers.close?.(socket, event.code, event.reason);
  if (handlers.error) socket.onerror = (event) => handlers.error?.(socket, event);
}
