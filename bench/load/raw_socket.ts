/**
 * A WebSocket client on a bare TCP connection (RFC 6455), cheap enough that a load generator on one core does not measure
 * itself: many frames leave in one write, and what arrives is handed on as bytes without being decoded.
 */

/** Gets parts of payloads as they arrive: `bytes[start, end)`; `isEnd` with the last part of a message. */
export type PayloadHandler = (bytes: Uint8Array, start: number, end: number, isEnd: boolean) => void;

/** Room for one read, unless the opener says otherwise: whoever opens a thousand sockets has to. */
const READ_BYTES = 256 * 1024;
const OPCODE_TEXT = 0x1;
const OPCODE_CLOSE = 0x8;
const FINAL = 0x80;
const MASKED = 0x80;

export class RawSocket implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #onPayload: PayloadHandler;
  readonly #readBytes: number;
  /** Bytes on the wire after the handshake, frames and all. */
  receivedBytes = 0;
  sentBytes = 0;
  /** Called once when the connection is over without having been closed here. */
  onLost: (() => void) | null = null;
  /** Awaited before each read: reading seldom takes more at once, for less work in this process. Null: reads at once. */
  pace: (() => Promise<void>) | null = null;
  /** What is wrong with the connection; null while it is sound. */
  fault: Error | null = null;
  readonly #ended: Promise<void>;
  #isClosing = false;
  /** Bytes handed to `send` and not written yet. */
  #outgoing: Uint8Array[] = [];
  #isWriting = false;

  private constructor(connection: Deno.TcpConn, onPayload: PayloadHandler, rest: Uint8Array, readBytes: number) {
    this.#connection = connection;
    this.#onPayload = onPayload;
    this.#readBytes = readBytes;
    this.#ended = this.#read(rest);
  }

  /** Opens a WebSocket. Rejects with the answer's first lines when the upgrade is refused. */
  static async open(
    url: string,
    headers: Record<string, string>,
    onPayload: PayloadHandler,
    { readBytes = READ_BYTES }: { readBytes?: number } = {},
  ): Promise<RawSocket> {
    const { hostname, port } = new URL(url);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    connection.setNoDelay(true);
    try {
      return new RawSocket(connection, onPayload, await upgrade(connection, url, headers), readBytes);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Sends frames made by `textFrame`, in as few writes as possible. */
  send(...frames: Uint8Array[]): void {
    this.#outgoing.push(...frames);
    if (!this.#isWriting) this.#write();
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#outgoing.length > 0) {
        const bytes = concat(this.#outgoing.splice(0));
        this.sentBytes += bytes.length;
        for (let offset = 0; offset < bytes.length;) {
          offset += await this.#connection.write(bytes.subarray(offset));
        }
      }
    } catch (error) {
      if (!this.#isClosing) this.fault ??= error as Error;
    } finally {
      this.#isWriting = false;
    }
  }

  async #read(rest: Uint8Array): Promise<void> {
    const parser = new FrameParser(this.#onPayload);
    const buffer = new Uint8Array(this.#readBytes);
    try {
      parser.push(rest, rest.length);
      for (;;) {
        if (this.pace !== null) await this.pace();
        const read = await this.#connection.read(buffer);
        if (read === null) break;
        this.receivedBytes += read;
        parser.push(buffer, read);
      }
      if (!this.#isClosing) this.fault ??= new Error("the hub closed the connection");
    } catch (error) {
      if (!this.#isClosing) this.fault ??= error as Error;
    }
    if (this.#isClosing) return;
    // Nothing more comes, so nothing more may go.
    this[Symbol.dispose]();
    this.onLost?.();
  }

  /** Closes the connection and waits until its reader has ended. */
  async close(): Promise<void> {
    this[Symbol.dispose]();
    await this.#ended;
  }

  [Symbol.dispose](): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#connection.close();
  }
}

/** Asks for the upgrade; resolves with what came after the answer. */
async function upgrade(connection: Deno.TcpConn, url: string, headers: Record<string, string>): Promise<Uint8Array> {
  const { host, pathname, search } = new URL(url);
  const lines = Object.entries({
    host,
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16)))),
    "sec-websocket-version": "13",
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  await connection.write(new TextEncoder().encode(`GET ${pathname}${search} HTTP/1.1\r\n${lines.join("")}\r\n`));
  const buffer = new Uint8Array(16 * 1024);
  let length = 0;
  for (;;) {
    const read = await connection.read(buffer.subarray(length));
    if (read === null) throw new Error(`${url}: the connection ended during the handshake`);
    length += read;
    const text = new TextDecoder("latin1").decode(buffer.subarray(0, length));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    if (!text.startsWith("HTTP/1.1 101")) throw new Error(`${url}: ${text.slice(0, 300)}`);
    return buffer.slice(end + 4, length);
  }
}

/** Finds the payloads in a stream of frames from a server, which are never masked. */
export class FrameParser {
  readonly #onPayload: PayloadHandler;
  readonly #header = new Uint8Array(10);
  #headerLength = 0;
  #opcode = 0;
  #isFinal = false;
  #payloadLeft = 0;
  #isInPayload = false;

  constructor(onPayload: PayloadHandler) {
    this.#onPayload = onPayload;
  }

  push(bytes: Uint8Array, length: number): void {
    for (let at = 0; at < length;) {
      if (!this.#isInPayload) {
        this.#header[this.#headerLength++] = bytes[at++]!;
        this.#readHeader();
        continue;
      }
      const end = Math.min(length, at + this.#payloadLeft);
      this.#payloadLeft -= end - at;
      const isWhole = this.#payloadLeft === 0;
      if (this.#opcode <= OPCODE_TEXT) this.#onPayload(bytes, at, end, isWhole && this.#isFinal);
      if (isWhole) this.#isInPayload = false;
      at = end;
    }
  }

  #readHeader(): void {
    if (this.#headerLength < 2) return;
    const header = this.#header;
    const short = header[1]! & 0x7f;
    const needed = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (this.#headerLength < needed) return;
    const view = new DataView(header.buffer);
    this.#payloadLeft = short === 126 ? view.getUint16(2) : short === 127 ? Number(view.getBigUint64(2)) : short;
    this.#opcode = header[0]! & 0x0f;
    this.#isFinal = (header[0]! & FINAL) !== 0;
    this.#headerLength = 0;
    if (this.#opcode === OPCODE_CLOSE) throw new Error("the hub closed the WebSocket");
    this.#isInPayload = this.#payloadLeft > 0;
  }
}

const encoder = new TextEncoder();

/** A client's text frame. Its mask is zero, which is allowed and costs nothing. */
export function textFrame(text: string): Uint8Array {
  const payload = encoder.encode(text);
  const extra = payload.length < 126 ? 0 : payload.length < 65_536 ? 2 : 8;
  const frame = new Uint8Array(2 + extra + 4 + payload.length);
  const view = new DataView(frame.buffer);
  frame[0] = FINAL | OPCODE_TEXT;
  frame[1] = MASKED | (extra === 0 ? payload.length : extra === 2 ? 126 : 127);
  if (extra === 2) view.setUint16(2, payload.length);
  if (extra === 8) view.setBigUint64(2, BigInt(payload.length));
  frame.set(payload, 2 + extra + 4);
  return frame;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
