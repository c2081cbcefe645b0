/** The two loops of an isolate: posting what waits for its peers, and reading its mailbox when its bell rings. */
import { keys } from "@/lib/kv/keys.ts";
import { type Arrival, type MailboxReader, type Part, post } from "./mailbox.ts";
import type { Peer } from "./peer.ts";

/** First and longest pause before an operation that the database refused is tried again. */
const retryMs = 20;
const maxRetryMs = 1_000;

export interface ExchangeOptions {
  kv: Deno.Kv;
  isolateId: string;
  peers: ReadonlyMap<string, Peer>;
  /** Least time between two flushes, in ms. */
  flushMs: number;
  onError: (error: unknown) => void;
}

/** Aborts when its owner is disposed; shortens every pause. */
class Closing {
  #closed = Promise.withResolvers<void>();
  isClosed = false;

  close(): void {
    this.isClosed = true;
    this.#closed.resolve();
  }

  async pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([promise, this.#closed.promise]);
    clearTimeout(timer);
  }
}

/**
 * Sends what waits in the peers' outboxes: at once when idle, then at most every `flushMs` while more comes. Those that can be
 * reached directly do not wait for what goes into mailboxes.
 */
export class Postman {
  #options: ExchangeOptions;
  #mailbox: MailboxReader;
  #closing = new Closing();
  #posting: Promise<void> | null = null;
  #sending: Promise<void> | null = null;

  /** @param mailbox this isolate's own: what was read of it is deleted along with what is posted */
  constructor(options: ExchangeOptions, mailbox: MailboxReader) {
    this.#options = options;
    this.#mailbox = mailbox;
  }

  flushSoon(): void {
    this.#sending ??= Promise.resolve().then(() => this.#send());
    this.#posting ??= Promise.resolve().then(() => this.#post());
  }

  /** Sends what waits now, without pauses, and gives up when the database refuses. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.close();
    await this.#sending;
    await this.#posting;
  }

  async #send(): Promise<void> {
    const { peers, flushMs } = this.#options;
    for (;;) {
      let count = 0;
      for (const peer of peers.values()) {
        if (!peer.direct.isDirect) continue;
        const parts = pack(peer);
        count += parts.length;
        if (parts.length > 0) peer.direct.send(parts);
      }
      if (count === 0) {
        // In the same step as the look at the outboxes, so that nothing is queued unnoticed in between.
        this.#sending = null;
        return;
      }
      await this.#closing.pause(flushMs);
    }
  }

  async #post(): Promise<void> {
    const { kv, peers, flushMs, onError } = this.#options;
    for (;;) {
      const startedAt = performance.now();
      const parts: Part[] = [];
      for (const peer of peers.values()) {
        if (peer.direct.mayPost()) parts.push(...peer.direct.takeUntaken(), ...pack(peer));
      }
      if (parts.length === 0) {
        this.#posting = null;
        return;
      }
      for (let delayMs = retryMs;; delayMs = Math.min(maxRetryMs, delayMs * 2)) {
        try {
          const read = this.#mailbox.delivered();
          await post(kv, parts.filter(({ to }) => peers.has(to)), read.values());
          this.#mailbox.deleted(read.keys());
          break;
        } catch (error) {
          onError(error);
          if (this.#closing.isClosed) break;
          await this.#closing.pause(delayMs);
        }
      }
      const restMs = flushMs - (performance.now() - startedAt);
      if (restMs > 0) await this.#closing.pause(restMs);
    }
  }
}

/** Everything that waits for a peer. */
function pack(peer: Peer): Part[] {
  const messages = peer.take();
  if (messages.length === 0) return [];
  const parts = peer.link.pack(messages);
  peer.posted(parts.reduce((bytes, { value }) => bytes + value.length, 0));
  return parts;
}

/** Watches the own bell and hands over what arrives. */
export class Watcher {
  #options: ExchangeOptions;
  #closing = new Closing();
  #stream: ReadableStreamDefaultReader<unknown> | null = null;
  #running: Promise<void>;

  constructor(options: ExchangeOptions, mailbox: MailboxReader, deliver: (arrival: Arrival) => void) {
    this.#options = options;
    this.#running = this.#run(mailbox, deliver);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.close();
    await this.#stream?.cancel();
    await this.#running;
  }

  async #run(mailbox: MailboxReader, deliver: (arrival: Arrival) => void): Promise<void> {
    const { kv, isolateId, onError } = this.#options;
    for (let delayMs = retryMs; !this.#closing.isClosed;) {
      try {
        this.#stream = kv.watch([keys.mailbox.bell(isolateId)]).getReader();
        for (;;) {
          const { done } = await this.#stream.read();
          if (done || this.#closing.isClosed) break;
          await mailbox.drain(deliver);
          delayMs = retryMs;
        }
      } catch (error) {
        if (this.#closing.isClosed) return;
        onError(error);
        await this.#stream?.cancel().catch(onError);
      }
      // A watch that ended by itself (a lost connection to the KV server) is opened again.
      if (!this.#closing.isClosed) await this.#closing.pause(delayMs);
      delayMs = Math.min(maxRetryMs, delayMs * 2);
    }
  }
}
