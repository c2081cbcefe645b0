/** One producer and its viewers on some server, driven either as fast as they can be served or at an offered rate. */
import { setImmediate } from "node:timers";
import { limits } from "@/protocol/limits.ts";
import { type RawSocket, textFrame } from "./raw_socket.ts";
import { MARK, type MessageStream } from "./stream.ts";

/** Messages that may be under way to the slowest viewer: enough that no server waits for the load. */
const WINDOW_MESSAGES = 2_048;
/** Messages that one producer sends at most: a hub lets no host send more in one go (limits.relayBurstMessages). */
const MAX_MESSAGES = limits.relayBurstMessages * 0.9;
/** Pause of all viewers between two reads while throughput is measured, so that the load does not measure itself. */
const READ_PAUSE_MS = 1;
/** Longest time without any progress. */
const STALL_MS = 10_000;

/** Counts the messages that one viewer got. */
export class ViewerCounter {
  received = 0;
  /** Times at which messages number `received` and before arrived are told to. */
  onArrival: ((from: number, to: number) => void) | null = null;
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** A payload handler of RawSocket. */
  readonly take = (bytes: Uint8Array, start: number, end: number): void => {
    let marks = 0;
    for (let i = start; i < end; i++) if (bytes[i] === MARK) marks++;
    if (marks === 0) return;
    this.received += marks;
    this.onArrival?.(this.received - marks, this.received);
    this.#changed();
  };
}

export interface BroadcastParts {
  producer: RawSocket;
  viewers: { socket: RawSocket; counter: ViewerCounter }[];
  stream: MessageStream;
  /** Records that the server has acknowledged; null: it does not do that. */
  ackedRecords: (() => number) | null;
}

export class Broadcast {
  readonly #parts: BroadcastParts;
  #sent = 0;
  #sentRecords = 0;
  #isPumpPlanned = false;
  #isPumping = false;
  #sentAtMs: number[] = [];
  #onUsedUp = () => {};

  constructor(parts: BroadcastParts) {
    this.#parts = parts;
  }

  /** To be called whenever a viewer got something or records were acknowledged. */
  readonly changed = (): void => {
    if (!this.#isPumping || this.#isPumpPlanned) return;
    this.#isPumpPlanned = true;
    setImmediate(() => {
      this.#isPumpPlanned = false;
      this.#pump();
    });
  };

  /** Deliveries per second over `durationMs`, or until all messages are used up, sending as fast as the window allows. */
  async throughput(durationMs: number): Promise<number> {
    this.#isPumping = true;
    const pace = sharedPause(READ_PAUSE_MS);
    for (const { socket } of this.#parts.viewers) socket.pace = pace;
    const from = this.#deliveries();
    const startMs = performance.now();
    this.#pump();
    const usedUp = Promise.withResolvers<void>();
    this.#onUsedUp = usedUp.resolve;
    const timer = setTimeout(usedUp.resolve, durationMs);
    await usedUp.promise;
    clearTimeout(timer);
    this.#check();
    const rate = (this.#deliveries() - from) / (performance.now() - startMs) * 1_000;
    this.#isPumping = false;
    await this.#drained();
    for (const { socket } of this.#parts.viewers) socket.pace = null;
    return rate;
  }

  /** Times from a message's sending to its arrival at each viewer, in ms, at an offered rate of messages per second. */
  async latencies(perSecond: number, durationMs: number): Promise<number[]> {
    const found: number[] = [];
    const base = this.#sent;
    this.#sentAtMs = [];
    for (const { counter } of this.#parts.viewers) {
      counter.onArrival = (from, to) => {
        const nowMs = performance.now();
        for (let i = from - base; i < to - base; i++) found.push(nowMs - this.#sentAtMs[i]!);
      };
    }
    const startMs = performance.now();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      const elapsedMs = performance.now() - startMs;
      const due = Math.floor(Math.min(elapsedMs, durationMs) / 1_000 * perSecond) - (this.#sent - base);
      for (let i = 0; i < due; i++) {
        this.#sentAtMs.push(performance.now());
        this.#parts.producer.send(this.#nextFrame());
      }
      if (elapsedMs >= durationMs) resolve();
    }, 1);
    await promise;
    clearInterval(timer);
    await this.#drained();
    for (const { counter } of this.#parts.viewers) counter.onArrival = null;
    return found;
  }

  async close(): Promise<void> {
    await Promise.all([this.#parts.producer, ...this.#parts.viewers.map(({ socket }) => socket)].map((s) => s.close()));
  }

  #nextFrame(): Uint8Array {
    const { json, isRecord } = this.#parts.stream.next();
    this.#sent++;
    if (isRecord) this.#sentRecords++;
    return textFrame(json);
  }

  #pump(): void {
    if (!this.#isPumping) return;
    const { ackedRecords, producer } = this.#parts;
    const frames: Uint8Array[] = [];
    const room = WINDOW_MESSAGES - (this.#sent - this.#slowest());
    const acked = ackedRecords?.() ?? Infinity;
    while (frames.length < room && this.#sent < MAX_MESSAGES && this.#sentRecords - acked < limits.unackedRecords) {
      frames.push(this.#nextFrame());
    }
    if (frames.length > 0) producer.send(...frames);
    if (this.#sent >= MAX_MESSAGES) this.#onUsedUp();
  }

  #slowest(): number {
    let least = Infinity;
    for (const { counter } of this.#parts.viewers) if (counter.received < least) least = counter.received;
    return least;
  }

  #deliveries(): number {
    return this.#parts.viewers.reduce((sum, { counter }) => sum + counter.received, 0);
  }

  /** Waits until every viewer has everything that was sent. */
  async #drained(): Promise<void> {
    let progressMs = performance.now();
    let last = -1;
    while (this.#slowest() < this.#sent) {
      this.#check();
      if (this.#deliveries() !== last) progressMs = performance.now();
      last = this.#deliveries();
      if (performance.now() - progressMs > STALL_MS) {
        throw new Error(`${this.#sent - this.#slowest()} messages did not reach the slowest viewer`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (this.#slowest() > this.#sent) throw new Error("a viewer got more messages than were sent");
  }

  #check(): void {
    for (const { fault } of [this.#parts.producer, ...this.#parts.viewers.map(({ socket }) => socket)]) {
      if (fault) throw fault;
    }
  }
}

/** A pause that ends at the same time for all who wait in it. */
function sharedPause(ms: number): () => Promise<void> {
  let next: Promise<void> | null = null;
  return () =>
    next ??= new Promise((resolve) =>
      setTimeout(() => {
        next = null;
        resolve();
      }, ms)
    );
}
