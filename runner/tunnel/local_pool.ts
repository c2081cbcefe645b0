/** TCP connections to local servers, kept for the next request where both sides allow it. */
import { tunnelLimits } from "@/protocol/tunnel.ts";
import { Buffers } from "./buffers.ts";
import { AnswerReader } from "./http1.ts";

/** Idle connections that are kept for one server: as many as a tunnel may use at once, so that they are not made anew all the time. */
const IDLE_MAX = tunnelLimits.connections;
/** Shorter than the shortest common keep-alive of servers (Node: 5 s). */
const IDLE_MS = 4_000;
const CONNECT_MS = 10_000;

/** Where a tunnel leads: a port, and the addresses to try in turn. */
export interface LocalTarget {
  hostnames: readonly string[];
  port: number;
}

/** Nothing takes connections there. */
export class UnreachableError extends Error {
  override name = "UnreachableError";
}

export class LocalConnection {
  readonly conn: Deno.TcpConn;
  readonly reader: AnswerReader;
  /** Whether it has served a request before: the server may have closed it meanwhile. */
  isUsed = false;
  #isClosed = false;

  constructor(conn: Deno.TcpConn, buffers: Buffers) {
    this.conn = conn;
    conn.setNoDelay(true);
    this.reader = new AnswerReader(conn, buffers);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) at += await this.conn.write(at === 0 ? bytes : bytes.subarray(at));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.conn.close();
  }
}

export class LocalPool {
  readonly #idle = new Map<string, { connection: LocalConnection; since: number }[]>();
  /** The address that answered last, by target. */
  readonly #hostnames = new Map<string, string>();
  readonly #buffers = new Buffers();
  readonly #sweeper: ReturnType<typeof setInterval>;

  constructor() {
    this.#sweeper = setInterval(() => this.#sweep(), IDLE_MS);
  }

  /** A connection that was kept, newest first; null when there is none. */
  takeIdle(target: LocalTarget): LocalConnection | null {
    const kept = this.#idle.get(keyOf(target))?.pop();
    if (kept === undefined) return null;
    if (performance.now() - kept.since < IDLE_MS) return kept.connection;
    kept.connection.close();
    return null;
  }

  /** A new connection. Rejects with UnreachableError. */
  async connect(target: LocalTarget): Promise<LocalConnection> {
    const key = keyOf(target);
    const known = this.#hostnames.get(key);
    const hostnames = known === undefined
      ? target.hostnames
      : [known, ...target.hostnames.filter((name) => name !== known)];
    let reason = "no address";
    for (const hostname of hostnames) {
      try {
        const conn = await connectTo(hostname, target.port);
        this.#hostnames.set(key, hostname);
        return new LocalConnection(conn, this.#buffers);
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
    }
    throw new UnreachableError(`nothing answers on port ${target.port} of ${target.hostnames[0]}: ${reason}`);
  }

  /** The address of a target that answers, for clients that connect by themselves. */
  async hostname(target: LocalTarget): Promise<string> {
    const known = this.#hostnames.get(keyOf(target));
    if (known !== undefined) return known;
    const connection = await this.connect(target);
    this.giveBack(target, connection);
    return this.#hostnames.get(keyOf(target))!;
  }

  /** Keeps a connection whose answer was read to its end. */
  giveBack(target: LocalTarget, connection: LocalConnection): void {
    const key = keyOf(target);
    let idle = this.#idle.get(key);
    if (idle === undefined) this.#idle.set(key, idle = []);
    if (idle.length >= IDLE_MAX || !connection.reader.isDrained) return connection.close();
    connection.isUsed = true;
    idle.push({ connection, since: performance.now() });
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const [key, idle] of this.#idle) {
      const young = idle.filter(({ since }) => nowMs - since < IDLE_MS);
      for (const old of idle) if (!young.includes(old)) old.connection.close();
      if (young.length === 0) this.#idle.delete(key);
      else this.#idle.set(key, young);
    }
    if (this.#hostnames.size > 1_000) this.#hostnames.clear();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweeper);
    for (const idle of this.#idle.values()) for (const { connection } of idle) connection.close();
    this.#idle.clear();
  }
}

async function connectTo(hostname: string, port: number): Promise<Deno.TcpConn> {
  // A signal of AbortSignal.timeout would stay for all of that time, however soon it connects.
  const aborted = new AbortController();
  const timer = setTimeout(() => aborted.abort(new Error(`no answer within ${CONNECT_MS} ms`)), CONNECT_MS);
  try {
    return await Deno.connect({ hostname, port, signal: aborted.signal });
  } finally {
    clearTimeout(timer);
  }
}

function keyOf({ hostnames, port }: LocalTarget): string {
  return `${hostnames[0]} ${port}`;
}
