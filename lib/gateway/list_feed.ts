/** A user's live list on one socket: everything on connect, then what changed, read when a hint says so. */
import type { MessageSchemas } from "@/protocol/mod.ts";
import { errorText } from "@/lib/log.ts";
import { Connection, type Namespace } from "./connection.ts";
import type { GatewayContext, SocketAcceptor } from "./context.ts";
import { isIsolateGone, type UserTopicMessage } from "./topics.ts";

/** Changes within this time are read and sent together. */
const COALESCE_MS = 50;
/** A first read or a later one that failed is tried again after this time. */
const RETRY_MS = 1_000;
/** When more items changed at once, the whole list is read instead. */
const MAX_SINGLE_READS = 200;
/** Bytes that may wait in the socket before changes are held back. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** How one kind of list is read and told. */
export interface ListKind<Item> {
  namespace: Namespace & ("hub" | "runners");
  schemas: MessageSchemas;
  /** The id that a hint names, when it is about this list. */
  hinted(message: UserTopicMessage): string | null;
  /** The message that tells the browser of a hint that is not about this list but goes with it; absent: there is none. */
  passedOn?(message: UserTopicMessage): object | null;
  idOf(item: Item): string;
  readAll(ctx: GatewayContext, userId: string): Promise<Item[]>;
  readOne(ctx: GatewayContext, userId: string, id: string): Promise<Item | null>;
  all(items: Item[]): object;
  added(item: Item): object;
  changed(item: Item): object;
  removed(id: string): object;
}

/** Makes the acceptor of a list namespace. */
export function acceptList<Item>(kind: ListKind<Item>): SocketAcceptor {
  return (ctx, socket, principal) => {
    const feed = new ListFeed(ctx, kind, principal.userId);
    const connection = Connection.open({
      namespace: kind.namespace,
      socket,
      principal,
      schemas: kind.schemas,
      counters: ctx.counters,
      ticker: ctx.ticker,
      log: ctx.log,
      onFrame: () => {},
      onClose: () => feed[Symbol.dispose](),
    });
    feed.start(connection);
    return connection;
  };
}

class ListFeed<Item> {
  readonly #ctx: GatewayContext;
  readonly #kind: ListKind<Item>;
  readonly #userId: string;
  readonly #subscription: { ready: Promise<void>; [Symbol.dispose](): void };
  /** An isolate that died held hosts and runners that are not connected any more. */
  readonly #isolates: { [Symbol.dispose](): void };
  #connection: Connection | null = null;
  /** What was last sent of each item, as JSON. */
  #sent = new Map<string, string>();
  #changed = new Set<string>();
  /** The whole list must be read: at first, and when hints may have been lost. */
  #isStale = true;
  #isReading = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ctx: GatewayContext, kind: ListKind<Item>, userId: string) {
    this.#ctx = ctx;
    this.#kind = kind;
    this.#userId = userId;
    this.#subscription = ctx.mesh.subscribe(`user:${userId}`, (payload) => this.#hint(payload as UserTopicMessage));
    this.#isolates = ctx.mesh.subscribe("hub", (payload) => {
      if (isIsolateGone(payload)) this.#hint({ type: "mesh_gap" });
    });
  }

  async start(connection: Connection): Promise<void> {
    this.#connection = connection;
    try {
      await this.#subscription.ready;
    } catch (error) {
      this.#ctx.log.warn("list_subscribe_failed", { error: errorText(error) });
    }
    await this.#read();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#connection = null;
    this.#subscription[Symbol.dispose]();
    this.#isolates[Symbol.dispose]();
  }

  #hint(message: UserTopicMessage): void {
    const passedOn = this.#kind.passedOn?.(message) ?? null;
    if (passedOn !== null) this.#connection?.send(passedOn);
    const id = this.#kind.hinted(message);
    if (message.type === "mesh_gap") this.#isStale = true;
    else if (id === null) return;
    else this.#changed.add(id);
    this.#later(COALESCE_MS);
  }

  #later(delayMs: number): void {
    if (this.#connection === null || this.#isReading) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#read();
    }, delayMs);
  }

  async #read(): Promise<void> {
    if (this.#connection === null || this.#isReading) return;
    if (this.#connection.bufferedBytes > MAX_BUFFERED_BYTES) return this.#later(RETRY_MS);
    this.#isReading = true;
    const ids = [...this.#changed];
    this.#changed.clear();
    let delayMs = COALESCE_MS;
    try {
      if (this.#isStale || ids.length > MAX_SINGLE_READS) await this.#readAll();
      else await Promise.all(ids.map((id) => this.#readOne(id)));
    } catch (error) {
      this.#ctx.log.warn("list_read_failed", { namespace: this.#kind.namespace, error: errorText(error) });
      for (const id of ids) this.#changed.add(id);
      delayMs = RETRY_MS;
    } finally {
      this.#isReading = false;
    }
    if (this.#isStale || this.#changed.size > 0) this.#later(delayMs);
  }

  async #readAll(): Promise<void> {
    this.#isStale = false;
    try {
      const items = await this.#kind.readAll(this.#ctx, this.#userId);
      this.#sent = new Map(items.map((item) => [this.#kind.idOf(item), JSON.stringify(item)]));
      this.#connection?.send(this.#kind.all(items));
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
  }

  async #readOne(id: string): Promise<void> {
    const item = await this.#kind.readOne(this.#ctx, this.#userId, id);
    if (item === null) {
      if (this.#sent.delete(id)) this.#connection?.send(this.#kind.removed(id));
      return;
    }
    const json = JSON.stringify(item);
    const earlier = this.#sent.get(id);
    if (earlier === json) return;
    this.#sent.set(id, json);
    this.#connection?.send(earlier === undefined ? this.#kind.added(item) : this.#kind.changed(item));
  }
}
