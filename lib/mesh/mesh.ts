/** The mesh over Deno KV: membership by leases, interest told to every live isolate, packed batches into mailboxes. */
import { Calls } from "./calls.ts";
import { type ExchangeOptions, Postman, Watcher } from "./exchange.ts";
import { type Arrival, MailboxReader, removeMailbox } from "./mailbox.ts";
import { Membership } from "./membership.ts";
import { encode, type MeshGap, type MeshIsolateGone, type Message } from "./messages.ts";
import type { Peer } from "./peer.ts";
import { Rounds } from "./rounds.ts";
import { type Mesh, MeshError, type MeshPayload, type Topic } from "./types.ts";

export interface MeshOptions {
  kv: Deno.Kv;
  isolateId?: string;
  /**
   * Where this isolate runs: rows of an older boot of the same slot belong to dead isolates and are removed at once,
   * instead of after their lease. Isolates of one process share both. On an embedded database, which only one process
   * opens, the slot may be a constant.
   */
  slot?: { name: string; boot: string };
  /** Where other isolates reach this one's `/ws/mesh`: "http://10.0.0.5:7700". Default: they connect to it in no other way than KV. */
  url?: string;
  /** Lease of an isolate, its renewal, and the least time between two flushes, in ms. */
  leaseMs?: number;
  renewMs?: number;
  flushMs?: number;
  callTimeoutMs?: number;
  /**
   * How long joining and subscribing wait for a peer's answer, in ms. One that is late (as a rule: dead, and its lease not
   * over yet) does not hold up the living; should it answer after all, a gap tells whoever may have missed something.
   */
  answerMs?: number;
  /** Bytes that may wait for one peer, here and unread in its mailbox. */
  maxOutboxBytes?: number;
  now?: () => number;
  /** Milliseconds of a clock that only goes forward: who lives is judged by it, so that nobody's wall clock matters. */
  clockMs?: () => number;
  /** A peer stopped reading and messages to it are being dropped until it catches up. */
  onOverflow?: (isolateId: string, unreadBytes: number) => void;
  /** A peer has a URL and could not be connected to: its mailbox is used. */
  onUnreachable?: (isolateId: string, url: string, reason: string) => void;
  /** Failures of the database or of listeners. Default: console.error. */
  onError?: (error: unknown) => void;
}

type Listener = (payload: MeshPayload, from: string) => void;

interface Subscription {
  listeners: Set<Listener>;
  ready: Promise<void>;
}

/** Id of the round of joining; subscriptions have others. */
const JOIN_ROUND = 0;

/**
 * Joins the mesh. Resolves when every live isolate has told its interest, so that nothing published from then on misses a
 * subscriber. The KV stays open on disposal.
 */
export async function openMesh(options: MeshOptions): Promise<Mesh> {
  const mesh = new KvMesh(options);
  try {
    await mesh.join();
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
  return mesh;
}

class KvMesh implements Mesh {
  readonly isolateId: string;
  #kv: Deno.Kv;
  #members: Membership;
  #callTimeoutMs: number;
  #maxOutboxBytes: number;
  #onOverflow: (isolateId: string, unreadBytes: number) => void;
  #onError: (error: unknown) => void;
  #peers: ReadonlyMap<string, Peer>;
  #subscriptions = new Map<Topic, Subscription>();
  #handlers = new Map<string, (params: MeshPayload, from: string) => Promise<MeshPayload>>();
  #calls = new Calls();
  #rounds: Rounds;
  #nextId = 1;
  #reader: MailboxReader;
  #exchange: ExchangeOptions;
  #postman: Postman;
  #watcher: Watcher | null = null;
  #isDisposed = false;
  /** Messages that were not queued because their isolate lags. */
  #dropped = 0;

  constructor(options: MeshOptions) {
    this.#kv = options.kv;
    this.isolateId = options.isolateId ?? crypto.randomUUID();
    this.#callTimeoutMs = options.callTimeoutMs ?? 10_000;
    this.#maxOutboxBytes = options.maxOutboxBytes ?? 8 * 1024 * 1024;
    this.#onError = options.onError ?? ((error) => console.error("mesh:", error));
    this.#onOverflow = options.onOverflow ??
      ((isolateId, bytes) =>
        console.warn(`mesh: isolate ${isolateId} does not read: ${bytes} bytes wait, dropping until it catches up`));
    this.#reader = new MailboxReader(this.#kv, this.isolateId, this.#onError);
    this.#members = new Membership({
      kv: this.#kv,
      isolateId: this.isolateId,
      slot: options.slot ?? { name: this.isolateId, boot: this.isolateId },
      url: options.url,
      leaseMs: options.leaseMs ?? 15_000,
      renewMs: options.renewMs ?? 5_000,
      maxOutboxBytes: this.#maxOutboxBytes,
      now: options.now ?? Date.now,
      clockMs: options.clockMs ?? (() => performance.now()),
      reader: this.#reader,
      onUnreachable: options.onUnreachable ??
        ((isolateId, url, reason) => console.warn(`mesh: isolate ${isolateId} is not reached at ${url}: ${reason}`)),
      onError: this.#onError,
      onArrival: (arrival) => this.#receive(arrival),
      onTurn: () => this.#postman.flushSoon(),
      onGone: (peer) => this.#gone(peer),
      onLost: () => this.#rejoin(),
    });
    this.#peers = this.#members.peers;
    this.#rounds = new Rounds(this.#peers, options.answerMs ?? 1_000);
    this.#exchange = {
      kv: this.#kv,
      isolateId: this.isolateId,
      peers: this.#peers,
      flushMs: options.flushMs ?? 3,
      onError: this.#onError,
    };
    this.#postman = new Postman(this.#exchange, this.#reader);
  }

  /** Announces this isolate and waits for the others' welcome (or the end of their leases). */
  async join(isRejoin = false): Promise<void> {
    // The watch comes before the lease: whoever sees the lease may write to the mailbox.
    this.#watcher ??= new Watcher(this.#exchange, this.#reader, (arrival) => this.#receive(arrival));
    await this.#members.enter();
    const ask = (peer: Peer) => {
      this.#send(peer, ["hello", [...this.#subscriptions.keys()], isRejoin]);
      return !peer.isWelcomed;
    };
    const welcomed = this.#rounds.begin(JOIN_ROUND, ask, (peer) => this.#sendGap(peer, [...peer.interest]));
    if (!isRejoin) this.#members.start();
    await welcomed;
  }

  publish(topic: Topic, payload: MeshPayload): void {
    this.#deliver(topic, payload, this.isolateId);
    let message: string | null = null;
    for (const peer of this.#peers.values()) {
      if (!peer.interest.has(topic)) continue;
      message ??= encode(["pub", topic, payload]);
      this.#push(peer, message, topic);
    }
  }

  subscribe(topic: Topic, listener: Listener): { ready: Promise<void>; [Symbol.dispose](): void } {
    let subscription = this.#subscriptions.get(topic);
    if (!subscription) {
      const id = this.#nextId++;
      subscription = { listeners: new Set(), ready: Promise.resolve() };
      this.#subscriptions.set(topic, subscription);
      const ask = (peer: Peer) => {
        this.#send(peer, ["sub", topic, id]);
        return true;
      };
      subscription.ready = this.#rounds.begin(id, ask, (peer) => this.#deliverGap([topic], peer.isolateId));
    }
    const { listeners, ready } = subscription;
    // The same function may be subscribed twice: each subscription is its own.
    const own: Listener = (payload, from) => listener(payload, from);
    listeners.add(own);
    return {
      ready,
      [Symbol.dispose]: () => {
        if (!listeners.delete(own) || listeners.size > 0) return;
        this.#subscriptions.delete(topic);
        for (const peer of this.#peers.values()) this.#send(peer, ["unsub", topic]);
      },
    };
  }

  serve(method: string, handler: (params: MeshPayload, from: string) => Promise<MeshPayload>): void {
    if (this.#handlers.has(method)) throw new Error(`the mesh method ${JSON.stringify(method)} is served already`);
    this.#handlers.set(method, handler);
  }

  async call(
    isolateId: string,
    method: string,
    params: MeshPayload,
    options: { timeoutMs?: number } = {},
  ): Promise<MeshPayload> {
    const timeoutMs = options.timeoutMs ?? this.#callTimeoutMs;
    const peer = this.#peers.get(isolateId);
    if (this.#isDisposed || (isolateId !== this.isolateId && !(peer && this.isLive(isolateId)))) {
      throw new MeshError("gone", `there is no live isolate ${isolateId}`);
    }
    const id = this.#nextId++;
    const answer = this.#calls.wait(id, isolateId, method, timeoutMs);
    if (!peer) {
      void this.#run(method, params, this.isolateId).then(([ok, value]) =>
        this.#calls.settle(id, isolateId, ok, value)
      );
    } else if (!this.#push(peer, encode(["call", id, method, params]), null)) {
      this.#calls.settle(id, isolateId, false, `isolate ${isolateId} is lagging: too much waits for it`);
    }
    return await answer;
  }

  isLive(isolateId: string): boolean {
    return isolateId === this.isolateId ? !this.#isDisposed : this.#members.isLive(isolateId);
  }

  liveIsolates(): string[] {
    return [this.isolateId, ...this.#peers.keys()].filter((isolateId) => this.isLive(isolateId));
  }

  stats(): ReturnType<Mesh["stats"]> {
    const stats = {
      peers: this.#peers.size,
      direct: 0,
      lagging: 0,
      outboxBytes: 0,
      unreadBytes: 0,
      dropped: this.#dropped,
    };
    for (const peer of this.#peers.values()) {
      if (peer.direct.isDirect) stats.direct++;
      if (peer.isLagging) stats.lagging++;
      stats.outboxBytes += peer.outboxBytes;
      stats.unreadBytes += peer.unreadBytes;
    }
    return stats;
  }

  async upgrade(req: Request): Promise<Response> {
    return await this.#members.upgrade(req);
  }

  /** Leaves the mesh. What the database refuses meanwhile is reported and left to the end of the lease. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    // Before the farewell: whoever forgets this isolate must not find its lease again.
    await this.#members.leave();
    for (const peer of this.#peers.values()) {
      // What is on its way over a socket is posted again: nobody will be here to do so when it does not arrive.
      peer.direct[Symbol.dispose]();
      this.#send(peer, ["bye"]);
    }
    await this.#postman[Symbol.asyncDispose]();
    for (const peer of [...this.#peers.values()]) this.#members.forget(peer);
    this.#rounds[Symbol.dispose]();
    this.#calls.gone(null);
    await this.#watcher?.[Symbol.asyncDispose]();
    await this.#reader[Symbol.asyncDispose]();
    await removeMailbox(this.#kv, this.isolateId).catch(this.#onError);
  }

  // --- delivery on this isolate

  #deliver(topic: Topic, payload: MeshPayload, from: string): void {
    const subscription = this.#subscriptions.get(topic);
    if (!subscription) return;
    for (const listener of subscription.listeners) {
      try {
        listener(payload, from);
      } catch (error) {
        this.#onError(error);
      }
    }
  }

  #deliverGap(topics: Iterable<Topic>, from: string): void {
    const gap: MeshGap = { type: "mesh_gap" };
    for (const topic of topics) this.#deliver(topic, gap, from);
  }

  async #run(method: string, params: MeshPayload, from: string): Promise<[boolean, MeshPayload]> {
    const handler = this.#handlers.get(method);
    if (!handler) return [false, `the isolate serves no method ${JSON.stringify(method)}`];
    try {
      return [true, (await handler(params, from)) ?? null];
    } catch (error) {
      return [false, error instanceof Error ? error.message : String(error)];
    }
  }

  // --- to other isolates

  #send(peer: Peer, message: Message): void {
    peer.pushControl(encode(message));
    this.#postman.flushSoon();
  }

  /** Queues within the peer's bound; false when it was dropped. */
  #push(peer: Peer, message: string, topic: Topic | null): boolean {
    const result = peer.push(message, topic);
    if (result === "overflow") this.#onOverflow(peer.isolateId, peer.unreadBytes);
    if (result === "queued") this.#postman.flushSoon();
    else {
      this.#dropped++;
      this.#sendGap(peer, peer.caughtUp());
    }
    return result === "queued";
  }

  /** Tells a peer that has caught up which topics it missed something of. */
  #sendGap(peer: Peer, topics: Topic[] | null): void {
    if (topics && topics.length > 0) this.#send(peer, ["gap", topics]);
  }

  // --- from other isolates

  #receive({ from, bytes, messages, isNewLink }: Arrival): void {
    let peer = this.#peers.get(from);
    const first = messages?.[0] as Message | undefined;
    if (first?.[0] === "hello" && (!peer || (isNewLink && first[2]))) {
      // It came, or came back after it was taken for dead: everything between the two begins anew.
      peer = peer ? this.#members.replace(peer) : this.#members.add(from);
    }
    if (!peer) return; // taken for dead: it will find out by its lease and say hello
    peer.direct.tookParts();
    peer.isSilent = false;
    if (isNewLink) {
      peer.receivedBytes = 0;
      peer.reportedBytes = 0;
    }
    peer.receivedBytes += bytes;
    if (messages === null) this.#deliverGap(this.#subscriptions.keys(), from);
    else for (const message of messages) this.#handle(peer, message as Message);
    if (peer.receivedBytes - peer.reportedBytes >= Math.min(256 * 1024, this.#maxOutboxBytes / 4)) {
      peer.reportedBytes = peer.receivedBytes;
      this.#send(peer, ["read", peer.receivedBytes]);
    }
  }

  #handle(peer: Peer, message: Message): void {
    switch (message[0]) {
      case "hello":
        peer.interest = new Set(message[1]);
        if (message[2]) this.#deliverGap(this.#subscriptions.keys(), peer.isolateId);
        this.#send(peer, ["welcome", [...this.#subscriptions.keys()]]);
        break;
      case "welcome":
        for (const topic of message[1]) peer.interest.add(topic);
        peer.isWelcomed = true;
        this.#rounds.answered(JOIN_ROUND, peer);
        // Whoever is new connects: the others may know its URL, but not whether it serves there already.
        void this.#members.connect(peer);
        break;
      case "sub":
        peer.interest.add(message[1]);
        this.#send(peer, ["known", message[2]]);
        break;
      case "known":
        this.#rounds.answered(message[1], peer);
        break;
      case "unsub":
        peer.interest.delete(message[1]);
        break;
      case "pub":
        this.#deliver(message[1], message[2], peer.isolateId);
        break;
      case "gap":
        this.#deliverGap(message[1], peer.isolateId);
        break;
      case "call": {
        const [, id, method, params] = message;
        void this.#run(method, params, peer.isolateId).then(([ok, value]) => {
          if (this.#peers.get(peer.isolateId) !== peer) return;
          if (this.#push(peer, encode(["reply", id, ok, value]), null)) return;
          this.#send(peer, ["reply", id, false, "the answer was dropped: the calling isolate is lagging"]);
        });
        break;
      }
      case "reply":
        this.#calls.settle(message[1], peer.isolateId, message[2], message[3]);
        break;
      case "read":
        this.#sendGap(peer, peer.read(message[1]));
        break;
      case "bye":
        this.#members.forget(peer);
        break;
    }
  }

  // --- membership

  /** The peer is gone: whoever waits for it is told. */
  #gone(peer: Peer): void {
    this.#rounds.gone(peer);
    this.#calls.gone(peer.isolateId);
    const gone: MeshIsolateGone = { type: "mesh_isolate_gone", isolateId: peer.isolateId };
    if (!this.#isDisposed) this.#deliver("hub", gone, peer.isolateId);
  }

  /** Begins anew with everybody. */
  #rejoin(): void {
    // Not awaited: the own lease must be renewed while others take their time to answer.
    this.join(true).then(() => this.#deliverGap(this.#subscriptions.keys(), this.isolateId), this.#onError);
  }
}
