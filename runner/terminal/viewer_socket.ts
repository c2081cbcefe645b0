/**
 * The way of a terminal's viewer from the daemon, which has the link to the hub, to a session's host, which has the terminal: a
 * connection to a unix socket of the host. The daemon says in one byte what it wants; the host answers a viewer with one byte
 * (0: come in; else why not, with a sentence behind it); from there on the viewer's stream passes both ways.
 */
import { dirname } from "node:path";
import type { LinkStream, ResetCode, StreamHeader } from "@/protocol/link/types.ts";
import { StreamResetError } from "@/protocol/link/types.ts";
import { TerminalInfo } from "@/protocol/terminal.ts";
import { removeIfExists } from "../atomic_file.ts";
import { makePrivateDirectory } from "../control.ts";
import { errorText } from "../log.ts";

/** What the daemon wants. */
const wants = { look: 0, write: 1, restart: 2, info: 3 } as const;
const ANSWER_WELCOME = 0;
const ANSWER_TOO_MANY = 1;
const ANSWER_REFUSED = 2;
const READ_BYTES = 64 * 1024;
/** Longest TerminalInfo as JSON. */
const INFO_BYTES = 1024 * 1024;
/** Longest wait for one. */
const INFO_MS = 2_000;
/** Longest sentence of a refusal. */
const REFUSAL_BYTES = 4_096;

type TerminalHeader = Extract<StreamHeader, { kind: "terminal" }>;

/** What the host lets viewers look at. */
export interface ViewedTerminal {
  attach(stream: LinkStream, header: TerminalHeader): void;
  restart(): void;
  /** Null: it does not run yet. */
  readonly info: TerminalInfo | null;
}

/** The host's end. */
export class ViewerSocket implements Disposable {
  readonly #path: string;
  readonly #listener: Deno.UnixListener;
  readonly #terminal: ViewedTerminal;
  /** Connections that have not said what they want, or are no viewers. */
  readonly #asking = new Set<Deno.UnixConn>();

  /** Binds the socket; one left by a dead host is replaced. Throws when it cannot be bound. */
  constructor(path: string, terminal: ViewedTerminal) {
    this.#path = path;
    this.#terminal = terminal;
    makePrivateDirectory(dirname(path));
    removeIfExists(path);
    this.#listener = Deno.listen({ transport: "unix", path });
    Deno.chmodSync(path, 0o600);
    void this.#accept();
  }

  /** Lets nobody in any more. Viewers that are there stay until their terminal lets go of them. */
  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#asking) closeQuietly(connection);
    removeIfExists(this.#path);
  }

  async #accept(): Promise<void> {
    try {
      for await (const connection of this.#listener) void this.#serve(connection);
    } catch {
      // The listener was closed.
    }
  }

  async #serve(connection: Deno.UnixConn): Promise<void> {
    this.#asking.add(connection);
    const want = new Uint8Array(1);
    const read = await connection.read(want).catch(() => null);
    if (read === 1 && (want[0] === wants.look || want[0] === wants.write)) {
      const header: TerminalHeader = {
        kind: "terminal",
        terminalId: "session",
        viewerId: "viewer",
        canWrite: want[0] === wants.write,
      };
      this.#asking.delete(connection);
      const stream = new ConnectionStream(connection, header);
      this.#terminal.attach(stream, header);
      stream.welcome();
      await stream.closed;
    } else if (read === 1 && want[0] === wants.restart) this.#terminal.restart();
    else if (read === 1 && want[0] === wants.info) {
      await writeAll(connection, new TextEncoder().encode(JSON.stringify(this.#terminal.info))).catch(() => {});
    }
    this.#asking.delete(connection);
    closeQuietly(connection);
  }
}

/** A viewer's connection as the stream that terminals know. */
class ConnectionStream implements LinkStream {
  readonly #connection: Deno.UnixConn;
  readonly #closed = Promise.withResolvers<StreamResetError | null>();
  /** Writes go one after another. */
  #writing: Promise<void> = Promise.resolve();
  #isWelcome = false;
  #isClosed = false;

  constructor(connection: Deno.UnixConn, readonly header: StreamHeader) {
    this.#connection = connection;
  }

  get closed(): Promise<StreamResetError | null> {
    return this.#closed.promise;
  }

  /** Lets the viewer in, unless it was refused. */
  welcome(): void {
    if (this.#isClosed) return;
    this.#isWelcome = true;
    void this.write(Uint8Array.of(ANSWER_WELCOME)).catch(() => {});
  }

  async read(): Promise<Uint8Array | null> {
    const buffer = new Uint8Array(READ_BYTES);
    try {
      const read = await this.#connection.read(buffer);
      return read === null ? null : buffer.subarray(0, read);
    } catch {
      this.#close(null);
      return null;
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    const written = this.#writing.then(() => writeAll(this.#connection, bytes)).catch((error) => {
      const reset = new StreamResetError("cancelled", errorText(error));
      this.#close(reset);
      throw reset;
    });
    this.#writing = written.catch(() => {});
    return written;
  }

  end(): void {
    void this.#writing.then(() => this.#close(null));
  }

  reset(code: ResetCode, message = ""): void {
    if (this.#isClosed) return;
    const reset = new StreamResetError(code, message);
    if (this.#isWelcome) return this.#close(reset);
    const text = new TextEncoder().encode(message).subarray(0, REFUSAL_BYTES);
    const answer = Uint8Array.of(code === "too_many_streams" ? ANSWER_TOO_MANY : ANSWER_REFUSED, ...text);
    this.#isClosed = true;
    void writeAll(this.#connection, answer).catch(() => {}).finally(() => {
      closeQuietly(this.#connection);
      this.#closed.resolve(reset);
    });
  }

  #close(why: StreamResetError | null): void {
    this.#isClosed = true;
    closeQuietly(this.#connection);
    this.#closed.resolve(why);
  }
}

/** The daemon's end: leads a viewer's stream to the host whose socket it is. Never rejects. */
export async function leadViewer(stream: LinkStream, header: TerminalHeader, path: string): Promise<void> {
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({ transport: "unix", path });
  } catch {
    // Being started, or just ended: the viewer tries again and is told then.
    return stream.reset("unreachable", "the session's terminal is not there now");
  }
  void stream.closed.then(() => closeQuietly(connection));
  try {
    await writeAll(connection, Uint8Array.of(header.canWrite ? wants.write : wants.look));
    const answer = new Uint8Array(1);
    if (await connection.read(answer) === null) throw new Error("no answer");
    if (answer[0] !== ANSWER_WELCOME) {
      return stream.reset(
        answer[0] === ANSWER_TOO_MANY ? "too_many_streams" : "refused",
        await readText(connection, REFUSAL_BYTES),
      );
    }
    void toHost(stream, connection);
    await fromHost(stream, connection);
    // Not a reset, which would overtake the last that the terminal showed.
    stream.end();
  } catch {
    stream.reset("refused", "the terminal is closed");
  } finally {
    closeQuietly(connection);
  }
}

/** Resolves when the host has ended the connection, or is gone. Rejects when the viewer is. */
async function fromHost(stream: LinkStream, connection: Deno.UnixConn): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    const read = await connection.read(buffer).catch(() => null);
    if (read === null) return;
    await stream.write(buffer.subarray(0, read));
  }
}

/** Has the host start its program anew. Rejects when the host is not there. */
export async function restartThrough(path: string): Promise<void> {
  using connection = await Deno.connect({ transport: "unix", path });
  await writeAll(connection, Uint8Array.of(wants.restart));
  // It closes when that is done.
  await connection.read(new Uint8Array(1));
}

/** What lists show of the host's terminal. Rejects when the host is not there, or does not answer soon. */
export async function infoThrough(path: string): Promise<TerminalInfo> {
  using connection = await Deno.connect({ transport: "unix", path });
  const timer = setTimeout(() => closeQuietly(connection), INFO_MS);
  try {
    await writeAll(connection, Uint8Array.of(wants.info));
    return TerminalInfo.parse(JSON.parse(await readText(connection, INFO_BYTES)));
  } finally {
    clearTimeout(timer);
  }
}

async function toHost(stream: LinkStream, connection: Deno.UnixConn): Promise<void> {
  for (;;) {
    const bytes = await stream.read().catch(() => null);
    if (bytes === null) {
      stream.end();
      return closeQuietly(connection);
    }
    try {
      await writeAll(connection, bytes);
    } catch {
      // The host has closed it. What it said before is still there to be read.
      return;
    }
  }
}

/** All that comes, as far as it is at most `maxBytes`. */
async function readText(connection: Deno.UnixConn, maxBytes: number): Promise<string> {
  const whole = new Uint8Array(maxBytes);
  let length = 0;
  while (length < whole.length) {
    const read = await connection.read(whole.subarray(length));
    if (read === null) break;
    length += read;
  }
  return new TextDecoder().decode(whole.subarray(0, length));
}

async function writeAll(connection: Deno.UnixConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

function closeQuietly(connection: Deno.UnixConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
