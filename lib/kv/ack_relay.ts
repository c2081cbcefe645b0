/**
 * A TCP relay inside this process between Deno's KV client and a KV Connect server, for HTTP/2 without TLS. Both ends leave Nagle's
 * algorithm on: what is written after a first small segment waits until that one is acknowledged, and the other end's kernel
 * acknowledges after 40 ms unless it has something to send. A commit of 20 rows took 45 ms because of it, one row 0.4 ms.
 * The relay has something to send: for whatever arrives it answers at once with an empty frame of a type that nobody knows, which
 * carries the acknowledgement and which receivers ignore (RFC 9113 §4.1). Its own segments leave without waiting.
 */

/** What a client sends before its first frame (RFC 9113 §3.4). */
const PREFACE_BYTES = 24;
const HEADER_BYTES = 9;
/** Length 0, a type out of the range that is not assigned, no flags, stream 0. */
const ACK_FRAME = new Uint8Array([0, 0, 0, 0xbb, 0, 0, 0, 0, 0]);
const READ_BYTES = 64 * 1024;
/** A larger frame is none of KV Connect's: the two ends do not speak HTTP/2. They begin with a bound of 16 KiB. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

export class AckRelay implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #server: { hostname: string; port: number };
  readonly #open = new Set<Deno.TcpConn>();
  #isClosed = false;

  /** Relays to the server at `url` ("http://host:port/path"). */
  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#server = { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) };
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#listen();
  }

  /** The port on 127.0.0.1 that stands for the server's. */
  get port(): number {
    return this.#listener.addr.port;
  }

  async #listen(): Promise<void> {
    for (;;) {
      let client: Deno.TcpConn;
      try {
        client = await this.#listener.accept();
      } catch (error) {
        if (this.#isClosed) return;
        // Out of file descriptors, or the client was gone again: the next may do better.
        if (!(error instanceof Error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      this.#relay(client);
    }
  }

  /** Joins a connection with one to the server. When either ends, so does the other: the client then connects again. */
  async #relay(client: Deno.TcpConn): Promise<void> {
    this.#open.add(client);
    let server: Deno.TcpConn | null = null;
    try {
      server = await Deno.connect(this.#server);
      this.#open.add(server);
      if (this.#isClosed) return;
      client.setNoDelay(true);
      server.setNoDelay(true);
      const toClient = new FrameWriter(client);
      const toServer = new FrameWriter(server);
      await Promise.race([
        pump(client, PREFACE_BYTES, toServer, toClient),
        pump(server, 0, toClient, toServer),
      ]);
    } catch {
      // The server is not there, or the connection broke: the client finds it closed, and its caller is told by it.
    } finally {
      for (const connection of [client, server]) if (connection !== null) this.#close(connection);
    }
  }

  #close(connection: Deno.TcpConn): void {
    if (!this.#open.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // It was closed by its end.
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#listener.close();
    for (const connection of [...this.#open]) this.#close(connection);
  }
}

/** Hands on whole frames, so that between any two writes there is room for one more. `back` leads to where they come from. */
async function pump(from: Deno.TcpConn, prefaceBytes: number, to: FrameWriter, back: FrameWriter): Promise<void> {
  let buffer = new Uint8Array(READ_BYTES);
  let length = 0;
  let skip = prefaceBytes;
  for (;;) {
    if (length === buffer.length) {
      const larger = new Uint8Array(buffer.length * 2);
      larger.set(buffer);
      buffer = larger;
    }
    const read = await from.read(buffer.subarray(length));
    if (read === null) return;
    back.acknowledge();
    length += read;
    let end = 0;
    if (skip > 0 && length >= skip) {
      end = skip;
      skip = 0;
    }
    if (skip === 0) end = wholeFrames(buffer, end, length);
    if (end === 0) continue;
    await to.write(buffer.slice(0, end));
    buffer.copyWithin(0, end, length);
    length -= end;
  }
}

/** Where the last whole frame of `bytes[start, length)` ends. Throws when there are none to expect. */
export function wholeFrames(bytes: Uint8Array, start: number, length: number): number {
  let end = start;
  while (length - end >= HEADER_BYTES) {
    const payload = bytes[end]! << 16 | bytes[end + 1]! << 8 | bytes[end + 2]!;
    if (payload >= MAX_FRAME_BYTES - HEADER_BYTES) throw new Error(`a frame of ${payload} bytes`);
    if (length - end < HEADER_BYTES + payload) break;
    end += HEADER_BYTES + payload;
  }
  return end;
}

/** Writes in turn. Acknowledgements go between what is written; before the peer's own first frame there can be none. */
class FrameWriter {
  readonly #connection: Deno.TcpConn;
  #hasBegun = false;
  #owesAck = false;
  #last: Promise<void> = Promise.resolve();

  constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Resolves when it is written: who reads faster than the other end takes waits, so nothing piles up. */
  write(frames: Uint8Array): Promise<void> {
    this.#hasBegun = true;
    return this.#append(async () => {
      // The segment carries an acknowledgement itself.
      this.#owesAck = false;
      await this.#writeAll(frames);
    });
  }

  acknowledge(): void {
    if (!this.#hasBegun || this.#owesAck) return;
    this.#owesAck = true;
    this.#append(async () => {
      if (!this.#owesAck) return;
      this.#owesAck = false;
      await this.#writeAll(ACK_FRAME);
    }).catch(() => {
      // The connection broke, which its readers notice.
    });
  }

  #append(write: () => Promise<void>): Promise<void> {
    return this.#last = this.#last.then(write);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }
}
