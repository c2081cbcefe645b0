/** What an isolate knows of another: its lease, its interest, and what waits to be sent to it. */
import type { DirectWay } from "./direct.ts";
import type { Link } from "./mailbox.ts";
import type { Topic } from "./types.ts";

export interface PeerOptions {
  isolateId: string;
  aliveUntilMs: number;
  link: Link;
  direct: DirectWay;
  /** Bytes that may wait for it. */
  maxBytes: number;
}

export class Peer {
  readonly isolateId: string;
  /** Where it can be connected to; null: nowhere. */
  url: string | null = null;
  /** When it counts as dead unless its lease is seen to change before, in ms of a clock that only goes forward. */
  aliveUntilMs: number;
  /** It let the time for an answer pass, and nothing has come from it since. */
  isSilent = false;
  #leaseVersion: string | null = null;
  /** Topics that it has subscribers to. */
  interest = new Set<Topic>();
  readonly link: Link;
  readonly direct: DirectWay;
  /** It told its interest. Until then this isolate has not joined it. */
  isWelcomed = false;
  #maxBytes: number;
  #messages: string[] = [];
  #waitingBytes = 0;
  /** Bytes posted and bytes that it said it had read. */
  #postedBytes = 0;
  #readBytes = 0;
  /** Topics that something was dropped of since it began to lag; null: it does not lag. */
  #missed: Set<Topic> | null = null;
  /** Own bytes read from it, and up to where it was told so. */
  receivedBytes = 0;
  reportedBytes = 0;

  constructor({ isolateId, aliveUntilMs, link, direct, maxBytes }: PeerOptions) {
    this.isolateId = isolateId;
    this.aliveUntilMs = aliveUntilMs;
    this.link = link;
    this.direct = direct;
    this.#maxBytes = maxBytes;
  }

  /** Its lease was read. A version that was not seen before is a sign of life. */
  saw(leaseVersion: string, aliveUntilMs: number): void {
    if (leaseVersion === this.#leaseVersion) return;
    this.#leaseVersion = leaseVersion;
    this.aliveUntilMs = aliveUntilMs;
  }

  get isLagging(): boolean {
    return this.#missed !== null;
  }

  /** Bytes that wait here to be posted. */
  get outboxBytes(): number {
    return this.#waitingBytes;
  }

  /** Bytes that this peer has not read yet, here and in its mailbox. */
  get unreadBytes(): number {
    return this.#waitingBytes + this.#postedBytes - this.#readBytes;
  }

  /**
   * Queues a message (JSON text) within the bound. "overflow": the peer begins to lag, "dropped": it lags; then the
   * message is not queued and `topic` is remembered as missed.
   */
  push(message: string, topic: Topic | null): "queued" | "overflow" | "dropped" {
    if (this.#missed === null && this.unreadBytes + message.length <= this.#maxBytes) {
      this.pushControl(message);
      return "queued";
    }
    const isFirst = this.#missed === null;
    this.#missed ??= new Set();
    if (topic !== null) this.#missed.add(topic);
    return isFirst ? "overflow" : "dropped";
  }

  /** Queues a small message that the mesh itself needs, regardless of the bound. */
  pushControl(message: string): void {
    this.#messages.push(message);
    this.#waitingBytes += message.length;
  }

  /** Takes everything that waits, to be posted; `posted` must be told its bytes. */
  take(): string[] {
    const messages = this.#messages;
    this.#messages = [];
    this.#waitingBytes = 0;
    return messages;
  }

  posted(bytes: number): void {
    this.#postedBytes += bytes;
  }

  /** The peer has read this many bytes in all. Returns the topics that it missed once it has caught up. */
  read(bytes: number): Topic[] | null {
    this.#readBytes = Math.max(this.#readBytes, bytes);
    return this.caughtUp();
  }

  /** Ends the lagging when half of the bound is free again; null when there is nothing to say. */
  caughtUp(): Topic[] | null {
    if (this.#missed === null || this.unreadBytes > this.#maxBytes / 2) return null;
    const topics = [...this.#missed];
    this.#missed = null;
    return topics;
  }
}
