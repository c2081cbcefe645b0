/**
 * A WebSocket client on a TCP or TLS connection of its own. The runtime's own leaves Nagle's algorithm on, with no way to turn it
 * off: the second of two small messages waits for the acknowledgement of the first, which the other end delays by 40 ms. It
 * offers as much of the DOM's WebSocket as the runner needs.
 */
import {
  MAX_HEAD_BYTES,
  type Opcode,
  opcodes,
  WebSocketFrameError,
  WebSocketReader,
  writeClientFrame,
} from "./web_socket_frames.ts";

const MAX_ANSWER_BYTES = 16 * 1024;
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
/** A buffer for what goes out that grew beyond this is not kept. It is more than a link has on its way: growing anew each time took longer than sending. */
const KEPT_BYTES = 4 * 1024 * 1024;
/** How long the other end's answer to a close is waited for. */
const CLOSE_MS = 1_000;
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const encoder = new TextEncoder();

/** Frames that wait to be written, back to back. */
class Outgoing {
  bytes = new Uint8Array(64 * 1024);
  used = 0;
  #masks = new Uint32Array(64);
  #maskAt = this.#masks.length;

  add(opcode: Opcode, payload: Uint8Array): void {
    const needed = this.used + MAX_HEAD_BYTES + payload.length;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, this.used));
      this.bytes = grown;
    }
    this.used = writeClientFrame(this.bytes, this.used, opcode, payload, this.#randomMask());
  }

  /** A mask that nobody can foresee (RFC 6455 §10.3). */
  #randomMask(): number {
    if (this.#maskAt === this.#masks.length) {
      crypto.getRandomValues(this.#masks);
      this.#maskAt = 0;
    }
    return this.#masks[this.#maskAt++]!;
  }

  clear(): void {
    this.used = 0;
    if (this.bytes.length > KEPT_BYTES) this.bytes = new Uint8Array(64 * 1024);
  }
}

export class ClientSocket {
  onopen: (() => void) | null = null;
  /** Bytes are written over when it returns. */
  onmessage: ((event: { data: string | Uint8Array<ArrayBuffer> }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  #readyState: 0 | 1 | 2 | 3 = WebSocket.CONNECTING;
  #connection: Deno.Conn | null = null;
  /** One is filled while the other is written. */
  #filling = new Outgoing();
  #writing = new Outgoing();
  #isWriting = false;
  #closeTimer: ReturnType<typeof setTimeout> | null = null;
  /** What the other end said in its close frame. */
  #closed: { code: number; reason: string } | null = null;

  /** Connects to "ws://…" or "wss://…". Whatever goes wrong comes as `error` and `close`. */
  constructor(url: string, headers: Record<string, string>) {
    void this.#run(new URL(url), headers);
  }

  /** As the DOM's: WebSocket.CONNECTING, OPEN, CLOSING, CLOSED. */
  get readyState(): number {
    return this.#readyState;
  }

  /** Bytes that are not handed to the kernel yet. */
  get bufferedAmount(): number {
    return this.#filling.used + this.#writing.used;
  }

  /** Sends a message. The bytes are the caller's again when it returns. */
  send(message: string | Uint8Array): void {
    if (this.#readyState !== WebSocket.OPEN) return;
    if (typeof message === "string") this.#add(opcodes.text, encoder.encode(message));
    else this.#add(opcodes.binary, message);
  }

  /** Begins the closing handshake; the connection ends after it, or after a second. */
  close(code = 1000, reason = ""): void {
    if (this.#readyState >= WebSocket.CLOSING) return;
    const wasOpen = this.#readyState === WebSocket.OPEN;
    this.#readyState = WebSocket.CLOSING;
    if (!wasOpen) return this.#end(1006, "closed before it was open");
    const payload = new Uint8Array([code >> 8, code & 0xff, ...encoder.encode(reason).subarray(0, 123)]);
    this.#add(opcodes.close, payload);
    this.#closeTimer = setTimeout(() => this.#end(1006, "no answer to the close"), CLOSE_MS);
  }

  #add(opcode: Opcode, payload: Uint8Array): void {
    this.#filling.add(opcode, payload);
    if (!this.#isWriting) void this.#write();
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#filling.used > 0 && this.#connection !== null) {
        [this.#writing, this.#filling] = [this.#filling, this.#writing];
        const bytes = this.#writing.bytes.subarray(0, this.#writing.used);
        for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
        this.#writing.clear();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isWriting = false;
    }
  }

  async #run(url: URL, headers: Record<string, string>): Promise<void> {
    try {
      const connection = await connect(url);
      if (this.#readyState >= WebSocket.CLOSING) return connection.close();
      this.#connection = connection;
      const rest = await shakeHands(connection, url, headers);
      if (this.#readyState >= WebSocket.CLOSING) return;
      this.#readyState = WebSocket.OPEN;
      this.onopen?.();
      await this.#read(connection, rest);
      const { code, reason } = this.#closed ?? { code: 1006, reason: "the connection ended without a close" };
      this.#end(code, reason);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #read(connection: Deno.Conn, rest: Uint8Array): Promise<void> {
    const reader = new WebSocketReader({
      onMessage: (isText, bytes) => {
        if (this.#readyState !== WebSocket.OPEN) return;
        this.onmessage?.({ data: isText ? new TextDecoder().decode(bytes) : bytes });
      },
      onControl: (opcode, bytes) => this.#control(opcode, bytes),
    }, MAX_MESSAGE_BYTES);
    reader.push(rest);
    while (this.#closed === null) {
      const count = await connection.read(reader.room());
      if (count === null) return;
      reader.filled(count);
    }
  }

  #control(opcode: 8 | 9 | 10, bytes: Uint8Array<ArrayBuffer>): void {
    if (opcode === opcodes.ping && this.#readyState === WebSocket.OPEN) this.#add(opcodes.pong, bytes);
    if (opcode !== opcodes.close) return;
    const code = bytes.length < 2 ? 1005 : (bytes[0]! << 8) | bytes[1]!;
    this.#closed = { code, reason: new TextDecoder().decode(bytes.subarray(2)) };
    if (this.#readyState === WebSocket.OPEN) this.#add(opcodes.close, bytes.subarray(0, 2));
  }

  #fail(error: unknown): void {
    if (this.#readyState === WebSocket.CLOSED) return;
    const message = error instanceof Error ? error.message : String(error);
    if (this.#readyState !== WebSocket.CLOSING) this.onerror?.({ message });
    this.#end(error instanceof WebSocketFrameError ? 1002 : 1006, message);
  }

  #end(code: number, reason: string): void {
    if (this.#readyState === WebSocket.CLOSED) return;
    this.#readyState = WebSocket.CLOSED;
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    const connection = this.#connection;
    this.#connection = null;
    try {
      connection?.close();
    } catch {
      // It has failed, and is closed already.
    }
    this.onclose?.({ code, reason });
  }
}

async function connect(url: URL): Promise<Deno.Conn> {
  const isTls = url.protocol === "wss:";
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || (isTls ? 443 : 80));
  const connection = await Deno.connect({ hostname, port });
  connection.setNoDelay(true);
  if (!isTls) return connection;
  return await Deno.startTls(connection, { hostname, alpnProtocols: ["http/1.1"] });
}

/** Upgrades; gives what came after the answer. Throws with the status when the upgrade is refused. */
async function shakeHands(connection: Deno.Conn, url: URL, headers: Record<string, string>): Promise<Uint8Array> {
  const key = crypto.getRandomValues(new Uint8Array(16)).toBase64();
  const request = new Headers({
    ...headers,
    host: url.host,
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": key,
    "sec-websocket-version": "13",
  });
  const lines = [...request].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = encoder.encode(`GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines}\r\n`);
  for (let at = 0; at < head.length;) at += await connection.write(head.subarray(at));
  const buffer = new Uint8Array(MAX_ANSWER_BYTES);
  for (let length = 0; length < buffer.length;) {
    const count = await connection.read(buffer.subarray(length));
    if (count === null) throw new Error("the connection ended during the handshake");
    length += count;
    const text = new TextDecoder("latin1").decode(buffer.subarray(0, length));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const status = /^HTTP\/1\.1 (\d{3})\b/.exec(text)?.[1];
    if (status !== "101") throw new Error(`Invalid status code: ${status ?? "none"}`);
    const accepted = /\r\nsec-websocket-accept:[ \t]*(\S+)/i.exec(text.slice(0, end))?.[1];
    const digest = await crypto.subtle.digest("SHA-1", encoder.encode(key + ACCEPT_SUFFIX));
    if (accepted !== new Uint8Array(digest).toBase64()) {
      throw new Error("the answer to the handshake is not of a WebSocket");
    }
    return buffer.subarray(end + 4, length);
  }
  throw new Error(`the answer to the handshake is over ${MAX_ANSWER_BYTES} bytes`);
}
