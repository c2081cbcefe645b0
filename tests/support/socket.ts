/** A raw client of one WebSocket namespace, and upgrades by hand. */
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { HubAddress, HubProcess } from "./hub.ts";
import { Changes, within } from "./patience.ts";

export type Namespace = "relay" | "runner" | "viewer" | "hub" | "runners";

export interface Message {
  type: string;
  // deno-lint-ignore no-explicit-any -- tests look into messages of every namespace
  [field: string]: any;
}

/** `Authorization: Bearer` of a key. */
export function bearer(apiKey: string): Record<string, string> {
  return { authorization: `Bearer ${apiKey}` };
}

/** The DOM's type does not know Deno's options. */
type SocketClass = new (url: string, options: { headers: Record<string, string> }) => WebSocket;

/** Opens a WebSocket with headers. */
export function openSocket(url: string, headers: Record<string, string>): WebSocket {
  return new (WebSocket as unknown as SocketClass)(url, { headers });
}

export function socketUrl(hub: { host: string }, namespace: Namespace, version = PROTOCOL_VERSION): string {
  return `ws://${hub.host}/ws/${namespace}?protocolVersion=${version}`;
}

export class Peer implements AsyncDisposable {
  readonly socket: WebSocket;
  /** Everything received and not yet taken by `next`; pings are answered and not kept. */
  readonly received: Message[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #changes = new Changes();
  #close: { code: number; reason: string } | null = null;

  private constructor(url: string, headers: Record<string, string>) {
    this.socket = openSocket(url, headers);
    const closing = Promise.withResolvers<{ code: number; reason: string }>();
    this.closed = closing.promise;
    this.socket.onclose = ({ code, reason }) => {
      this.#close = { code, reason };
      closing.resolve(this.#close);
      this.#changes.notify();
    };
    this.socket.onerror = () => {};
    this.socket.onmessage = ({ data }) => {
      const value = JSON.parse(data);
      for (const message of Array.isArray(value) ? value : [value]) {
        if (message.type === "ping") this.send({ type: "pong" });
        else this.received.push(message);
      }
      this.#changes.notify();
    };
  }

  /** Opens a socket of a namespace. Rejects when the upgrade is refused. */
  static async open(
    hub: HubAddress,
    namespace: Namespace,
    headers: Record<string, string> = bearer(hub.person.apiKey),
    version = PROTOCOL_VERSION,
  ): Promise<Peer> {
    const peer = new Peer(socketUrl(hub, namespace, version), headers);
    const opened = Promise.withResolvers<void>();
    peer.socket.onopen = () => opened.resolve();
    void peer.closed.then(({ code }) => opened.reject(new Error(`/ws/${namespace} closed at once (${code})`)));
    await within(opened.promise, `the opening of /ws/${namespace}`);
    return peer;
  }

  get isClosed(): boolean {
    return this.#close !== null;
  }

  send(message: object): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Takes the next message of a type that `check` accepts; what came before it stays. */
  async next(type: string, check: (message: Message) => boolean = () => true): Promise<Message> {
    return await this.#changes.until(() => {
      const at = this.received.findIndex((message) => message.type === type && check(message));
      if (at >= 0) return this.received.splice(at, 1)[0];
      if (this.#close !== null) throw new Error(`closed (${this.#close.code} ${this.#close.reason}) before ${type}`);
      return null;
    }, `a message ${type}`);
  }

  async close(): Promise<void> {
    if (this.socket.readyState <= WebSocket.OPEN) this.socket.close();
    await within(this.closed, "the close of a socket");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Asks for an upgrade over a bare TCP connection and returns the status and the code of the JSON error. */
export async function tryUpgrade(
  hub: HubProcess,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; code?: string }> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: hub.port });
  try {
    const lines = [
      `GET ${path} HTTP/1.1`,
      ...Object.entries({
        host: hub.host,
        upgrade: "websocket",
        connection: "Upgrade",
        "sec-websocket-key": btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16)))),
        "sec-websocket-version": "13",
        ...headers,
      }).map(([name, value]) => `${name}: ${value}`),
    ];
    await connection.write(new TextEncoder().encode(lines.join("\r\n") + "\r\n\r\n"));
    return await within(readAnswer(connection), `the answer to an upgrade of ${path}`);
  } finally {
    connection.close();
  }
}

async function readAnswer(connection: Deno.Conn): Promise<{ status: number; code?: string }> {
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  for (let read = await connection.read(buffer); read !== null; read = await connection.read(buffer)) {
    text += new TextDecoder().decode(buffer.subarray(0, read));
    const status = Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? 0);
    if (status === 101) return { status };
    const code = /"code":"([a-z_]+)"/.exec(text)?.[1];
    if (code !== undefined) return { status, code };
  }
  throw new Error(`the connection ended without a typed error: ${text.slice(0, 500)}`);
}
