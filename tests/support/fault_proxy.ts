/** A TCP proxy that misbehaves as networks do: it swallows bytes, holds them back, and breaks connections at a given byte. */
import { closeQuietly, readAll, sendAtOnce, writeAll } from "./pipe.ts";

export type Direction = "up" | "down";

/** What happens to the bytes of one direction. `up` is from the client to the server. */
interface Lane {
  /** They are taken and go nowhere: to the sender all is well. */
  isSwallowing: boolean;
  /** While set, they wait here. */
  held: PromiseWithResolvers<void> | null;
  /** They arrive this much later, in order. */
  delayMs: number;
  /** So many bytes at the beginning of each read go on one by one, each in a segment of its own. */
  splitBytes: number;
}

interface Link {
  client: Deno.Conn;
  server: Deno.Conn;
  /** Bytes that went through. */
  bytes: Record<Direction, number>;
}

/** So many of the bytes that go on one by one are read one by one, too. */
const ALONE_BYTES = 12;

export class FaultProxy implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #target: () => number;
  readonly #links = new Set<Link>();
  readonly #served: Promise<void>;
  readonly #lanes: Record<Direction, Lane> = {
    up: { isSwallowing: false, held: null, delayMs: 0, splitBytes: 0 },
    down: { isSwallowing: false, held: null, delayMs: 0, splitBytes: 0 },
  };
  readonly #closed = Promise.withResolvers<void>();
  /** Connections that were made through it. */
  connections = 0;
  #breakAt: (() => number) | null = null;
  #breakDirection: Direction | null = null;
  #lingerMs = 0;

  /** `target`: the port on 127.0.0.1 behind it, asked for at each connection. */
  constructor(target: () => number) {
    this.#target = target;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#served = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }
  get host(): string {
    return `127.0.0.1:${this.port}`;
  }
  get url(): string {
    return `http://${this.host}`;
  }

  /** From now on the bytes of these directions vanish, on connections that exist and on new ones; no side sees an end. */
  swallow(...directions: Direction[]): void {
    for (const direction of directions) this.#lanes[direction].isSwallowing = true;
  }

  /** Bytes wait until `release`: a network that stands still. */
  hold(...directions: Direction[]): void {
    for (const direction of directions) this.#lanes[direction].held ??= Promise.withResolvers();
  }

  delay(delayMs: number, ...directions: Direction[]): void {
    for (const direction of directions) this.#lanes[direction].delayMs = delayMs;
  }

  /**
   * Each new connection breaks, both directions of it, after as many bytes as `bytes` says for it; those of one direction count, or
   * of both. Null: no more.
   */
  breakAt(bytes: (() => number) | null, direction: Direction | null = null): void {
    this.#breakAt = bytes;
    this.#breakDirection = direction;
  }

  /** The first so many bytes of whatever is read at once go on one by one. */
  split(bytes: number, ...directions: Direction[]): void {
    for (const direction of directions) this.#lanes[direction].splitBytes = bytes;
  }

  /** The server sees the end of a client's connection this much later than the client. */
  lingerServerSide(lingerMs: number): void {
    this.#lingerMs = lingerMs;
  }

  /** Ends all misbehaviour; what was swallowed stays lost. */
  release(): void {
    this.#breakAt = null;
    for (const lane of Object.values(this.#lanes)) {
      lane.isSwallowing = false;
      lane.delayMs = 0;
      lane.splitBytes = 0;
      lane.held?.resolve();
      lane.held = null;
    }
  }

  /** Breaks every connection, as a restarted router does. */
  breakAll(): void {
    for (const { client, server } of this.#links) {
      closeQuietly(client);
      closeQuietly(server);
    }
  }

  /** Clients lose their connections now; the server is not told before `lingerServerSide`'s time is over. */
  breakClients(): void {
    for (const { client } of this.#links) closeQuietly(client);
  }

  async #serve(): Promise<void> {
    const running = new Set<Promise<void>>();
    for await (const client of this.#listener) {
      const one: Promise<void> = this.#join(client).catch(() => {}).finally(() => running.delete(one));
      running.add(one);
    }
    await Promise.all(running);
  }

  async #join(client: Deno.TcpConn): Promise<void> {
    this.connections++;
    const breakAt = this.#breakAt?.() ?? Infinity;
    const counted: readonly Direction[] = this.#breakDirection === null ? ["up", "down"] : [this.#breakDirection];
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.#target() });
    } catch {
      return closeQuietly(client);
    }
    sendAtOnce(client, server);
    const link: Link = { client, server, bytes: { up: 0, down: 0 } };
    this.#links.add(link);
    const endServer = async () => {
      if (this.#lingerMs > 0) await this.#pause(this.#lingerMs);
      closeQuietly(server);
    };
    const up = this.#carry("up", link, client, server, breakAt, counted).catch(() => {}).then(endServer);
    const down = this.#carry("down", link, server, client, breakAt, counted).catch(() => {}).then(() =>
      closeQuietly(client)
    );
    await Promise.all([up, down]);
    this.#links.delete(link);
  }

  async #carry(
    direction: Direction,
    link: Link,
    from: Deno.Conn,
    to: Deno.Conn,
    breakAt: number,
    counted: readonly Direction[],
  ): Promise<void> {
    const lane = this.#lanes[direction];
    const bytesLeft = () => breakAt - counted.reduce((sum, one) => sum + link.bytes[one], 0);
    await readAll(from, async (chunk) => {
      if (lane.isSwallowing) return;
      if (lane.delayMs > 0) await this.#pause(lane.delayMs);
      await lane.held?.promise;
      if (lane.isSwallowing) return;
      const rest = counted.includes(direction) ? bytesLeft() : Infinity;
      link.bytes[direction] += chunk.length;
      const whole = chunk.subarray(0, Math.max(0, Math.min(rest, chunk.length)));
      const single = Math.min(lane.splitBytes, whole.length);
      for (let at = 0; at < single; at++) {
        await writeAll(to, whole.subarray(at, at + 1));
        // The receiver reads the first ones as they come, not several at once: that is where messages have their heads.
        if (at < ALONE_BYTES) await this.#pause(1);
      }
      await writeAll(to, whole.subarray(single));
      if (bytesLeft() <= 0) {
        closeQuietly(link.client);
        closeQuietly(link.server);
      }
    });
  }

  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([this.#closed.promise, new Promise((resolve) => timer = setTimeout(resolve, ms))]);
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#closed.resolve();
    this.release();
    this.breakAll();
    await this.#served;
  }
}
