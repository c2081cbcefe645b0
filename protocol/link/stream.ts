/** One end of one stream: its queues and credits. What it has to say to the other end goes through its link. */
import { Allowance, type ReceiveBudget } from "./receive_budget.ts";
import { ReceiveQueue } from "./receive_queue.ts";
import { type ResetCode, StreamResetError } from "./types.ts";

/** What a stream asks of the multiplexer that it belongs to. */
export interface StreamLink {
  /** What the link's streams may hold that was not read. */
  readonly budget: ReceiveBudget;
  /** The stream has something to send that its credit allows. */
  ready(stream: MuxStream<unknown>): void;
  /** The stream has credit to grant. */
  owes(stream: MuxStream<unknown>): void;
  sendEnd(stream: MuxStream<unknown>): void;
  sendReset(stream: MuxStream<unknown>, code: ResetCode, message: string): void;
  /** Both directions are over. */
  finished(stream: MuxStream<unknown>): void;
}

interface Write {
  bytes: Uint8Array;
  /** How many of them are sent. */
  sent: number;
  done: PromiseWithResolvers<void>;
}

/** A LinkStream, whatever its header is. */
export class MuxStream<Header> {
  readonly id: number;
  readonly header: Header;
  readonly closed: Promise<StreamResetError | null>;
  /** It waits for its turn to send. The multiplexer's. */
  isQueued = false;
  readonly #link: StreamLink;
  readonly #closing = Promise.withResolvers<StreamResetError | null>();
  #error: StreamResetError | null = null;

  // What comes in.
  readonly #received = new ReceiveQueue();
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  #isRemoteEnded = false;
  readonly #allowance: Allowance;

  // What goes out.
  #writes: Write[] = [];
  #pendingBytes = 0;
  #credit: number;
  #isEnding = false;
  #isEnded = false;

  constructor(id: number, header: Header, link: StreamLink) {
    this.id = id;
    this.header = header;
    this.#link = link;
    this.#credit = link.budget.firstBytes;
    this.#allowance = new Allowance(link.budget);
    this.closed = this.#closing.promise;
  }

  /** See LinkStream.read. */
  read(): Promise<Uint8Array | null> {
    if (this.#reader !== null) return Promise.reject(new Error("an earlier read of this stream is not done yet"));
    const bytes = this.#received.shift();
    if (bytes !== null) {
      this.#taken(bytes.length);
      return Promise.resolve(bytes);
    }
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#isRemoteEnded) return Promise.resolve(null);
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  /** See LinkStream.write. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#error !== null) return rejected(this.#error);
    if (this.#isEnding) return rejected(new StreamResetError("protocol_error", "write after end"));
    if (bytes.length === 0) return Promise.resolve();
    const done = Promise.withResolvers<void>();
    this.#writes.push({ bytes, sent: 0, done });
    this.#pendingBytes += bytes.length;
    if (this.sendableBytes > 0) this.#link.ready(this);
    return done.promise;
  }

  /** See LinkStream.end. */
  end(): void {
    if (this.#isEnding || this.#error !== null) return;
    this.#isEnding = true;
    if (this.#pendingBytes === 0) this.#sendEnd();
  }

  /** See LinkStream.reset. */
  reset(code: ResetCode, message: string = code): void {
    const isOpen = !this.#isClosed;
    this.fail(new StreamResetError(code, message));
    if (isOpen) this.#link.sendReset(this, code, message);
  }

  /** Bytes that may be sent now. */
  get sendableBytes(): number {
    return Math.min(this.#pendingBytes, this.#credit);
  }

  /** Moves `target.length` bytes, at most sendableBytes, from the writes into `target`. */
  takeInto(target: Uint8Array): void {
    let filled = 0;
    while (filled < target.length) {
      const write = this.#writes[0]!;
      const count = Math.min(write.bytes.length - write.sent, target.length - filled);
      target.set(write.bytes.subarray(write.sent, write.sent + count), filled);
      filled += count;
      write.sent += count;
      if (write.sent < write.bytes.length) break;
      this.#writes.shift();
      write.done.resolve();
    }
    this.#credit -= filled;
    this.#pendingBytes -= filled;
    if (this.#pendingBytes === 0 && this.#isEnding) this.#sendEnd();
  }

  /** The credit to grant, if it is enough to say so; it counts as granted then. */
  takeGrant(): number {
    return this.#allowance.grant();
  }

  /** DATA has come; `isBorrowed`: its memory will be written over. The result is false when it was more than was granted. */
  received(bytes: Uint8Array, isBorrowed: boolean): boolean {
    if (this.#isRemoteEnded || !this.#allowance.received(bytes.length)) return false;
    if (bytes.length === 0) return true;
    const reader = this.#reader;
    if (reader === null) {
      this.#received.push(bytes, isBorrowed);
      return true;
    }
    this.#reader = null;
    this.#taken(bytes.length);
    reader.resolve(isBorrowed ? bytes.slice() : bytes);
    return true;
  }

  /** CREDIT has come. The result is false when it cannot be. */
  granted(bytes: number): boolean {
    if (this.#credit + bytes > MAX_CREDIT) return false;
    const wasBlocked = this.#credit === 0;
    this.#credit += bytes;
    if (wasBlocked && this.sendableBytes > 0) this.#link.ready(this);
    return true;
  }

  /** END has come. The result is false when it had come before. */
  remoteEnded(): boolean {
    if (this.#isRemoteEnded) return false;
    this.#isRemoteEnded = true;
    this.#allowance.end();
    this.#reader?.resolve(null);
    this.#reader = null;
    this.#settle();
    return true;
  }

  /** Ends both directions here, without a word to the other end. What was not read is dropped. */
  fail(error: StreamResetError): void {
    this.#received.clear();
    this.#allowance.drop();
    if (this.#error !== null) return;
    const isClosed = this.#isClosed;
    this.#error = error;
    this.#reader?.reject(error);
    this.#reader = null;
    for (const { done } of this.#writes) {
      // Whoever does not look at a write learns of it from `closed`.
      done.promise.catch(() => {});
      done.reject(error);
    }
    this.#writes = [];
    this.#pendingBytes = 0;
    if (isClosed) return;
    this.#closing.resolve(error);
    this.#link.finished(this);
  }

  get #isClosed(): boolean {
    return this.#error !== null || (this.#isEnded && this.#isRemoteEnded);
  }

  #sendEnd(): void {
    this.#isEnded = true;
    this.#link.sendEnd(this);
    this.#settle();
  }

  #settle(): void {
    if (!this.#isEnded || !this.#isRemoteEnded) return;
    this.#closing.resolve(null);
    this.#link.finished(this);
  }

  #taken(bytes: number): void {
    if (this.#allowance.taken(bytes)) this.#link.owes(this);
  }
}

/** Credit that no honest end reaches: a grant is never more than was sent. */
const MAX_CREDIT = 0x7fffffff;

function rejected(error: StreamResetError): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
