/** A client that opens WebSockets through a tunnel. */
import { PATIENCE_MS, within } from "../support/patience.ts";
import { closeQuietly } from "../support/pipe.ts";
import type { TunnelClient } from "./support.ts";

/** The DOM's type does not know Deno's options. */
type SocketClass = new (url: string, options: { protocols: string[]; headers: Record<string, string> }) => WebSocket;

/** A port whose one connection reaches the hub with the tunnel's Host: a WebSocket client names the host that it connects to. */
function door(tunnel: TunnelClient): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const carry = async () => {
    const client = await listener.accept();
    listener.close();
    try {
      const hub = await Deno.connect({ hostname: "127.0.0.1", port: tunnel.hub.port });
      const buffer = new Uint8Array(64 * 1024);
      const count = await client.read(buffer) ?? 0;
      const head = new TextDecoder().decode(buffer.subarray(0, count)).replace(/^host: .*$/im, `Host: ${tunnel.host}`);
      await hub.write(new TextEncoder().encode(head));
      await Promise.allSettled([client.readable.pipeTo(hub.writable), hub.readable.pipeTo(client.writable)]);
    } catch {
      closeQuietly(client);
    }
  };
  void carry();
  return port;
}

/** An open WebSocket of a tunnel. */
export interface TunnelSocket {
  socket: WebSocket;
  /** The next message. */
  next(timeoutMs?: number): Promise<string | Uint8Array>;
  closed: Promise<CloseEvent>;
}

/** Opens a WebSocket through a tunnel, as a page of it would. Rejects when the upgrade is refused. */
export async function openTunnelSocket(
  tunnel: TunnelClient,
  path: string,
  protocols: string[] = [],
  headers: Record<string, string> = {},
): Promise<TunnelSocket> {
  const socket = new (WebSocket as unknown as SocketClass)(`ws://127.0.0.1:${door(tunnel)}${path}`, {
    protocols,
    headers: { cookie: tunnel.cookie, origin: tunnel.origin, ...headers },
  });
  socket.binaryType = "arraybuffer";
  const arrived: (string | Uint8Array)[] = [];
  const waiting: ((message: string | Uint8Array) => void)[] = [];
  socket.onmessage = ({ data }) => {
    const message = typeof data === "string" ? data : new Uint8Array(data);
    const waiter = waiting.shift();
    if (waiter) waiter(message);
    else arrived.push(message);
  };
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  await within(
    new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
    }),
    "the socket's opening",
  );
  socket.onerror = null;
  const next = (timeoutMs = PATIENCE_MS) => {
    const message = arrived.shift();
    return message !== undefined
      ? Promise.resolve(message)
      : within(new Promise<string | Uint8Array>((resolve) => waiting.push(resolve)), "a message", timeoutMs);
  };
  return { socket, closed, next };
}
