/**
 * The hub's side of one live producer: which records are new, which of them are not committed yet, and the text of open
 * entries that exists only as deltas. No I/O. A late viewer gets the committed log, then `uncommitted`, then `openDeltas`.
 */
import type { Delta } from "../entry.ts";
import { isOpen, streamField } from "../entry.ts";
import { limits } from "../limits.ts";
import type { Event } from "../relay.ts";
import { mergeDelta } from "./text.ts";

export type EventVerdict =
  /** The next record: forward and commit it. */
  | "accept"
  /** Already accepted: drop it, it will be (or was) acknowledged. */
  | "duplicate"
  /** Records before it are missing: refuse it. */
  | "gap"
  /** Of another epoch than the registration's. */
  | "stale";

export type DeltaVerdict = "accept" | "duplicate" | "gap" | "stale" | "too_large";

interface OpenText {
  /** Length of the stream text in the last durable version. */
  base: number;
  /** What deltas appended since. */
  text: string;
}

export class ReceiverLog {
  readonly sessionId: string;
  readonly epoch: number;
  #ackedSeq: number;
  #lastSeq: number;
  #uncommitted: Event[] = [];
  #open = new Map<string, OpenText>();
  #openChars = 0;

  constructor(options: { sessionId: string; epoch: number; ackedSeq: number }) {
    this.sessionId = options.sessionId;
    this.epoch = options.epoch;
    this.#ackedSeq = options.ackedSeq;
    this.#lastSeq = options.ackedSeq;
  }

  /** Committed up to here. */
  get ackedSeq(): number {
    return this.#ackedSeq;
  }
  /** Accepted up to here. */
  get lastSeq(): number {
    return this.#lastSeq;
  }
  /** Accepted and not committed, ascending by seq. */
  get uncommitted(): readonly Event[] {
    return this.#uncommitted;
  }

  acceptEvent(event: Event): EventVerdict {
    if (event.epoch !== this.epoch) return "stale";
    if (event.seq <= this.#lastSeq) return "duplicate";
    if (event.seq !== this.#lastSeq + 1) return "gap";
    this.#lastSeq = event.seq;
    this.#uncommitted.push(event);
    if (event.entry) {
      const { id, kind, head } = event.entry;
      this.#dropOpen(id);
      if (isOpen(head.status) && streamField(kind) !== null) this.#open.set(id, { base: head.textLength, text: "" });
    }
    return "accept";
  }

  /**
   * Takes a delta. For an entry that this log has not seen since its producer registered (its record was committed before)
   * the first delta sets where the appended text begins: after registering, a host sends open text from its last record on.
   */
  acceptDelta(delta: Delta): DeltaVerdict {
    if (delta.epoch !== this.epoch) return "stale";
    const open = this.#open.get(delta.entryId) ?? { base: delta.at, text: "" };
    const merge = mergeDelta(open.base + open.text.length, delta.at, delta.text);
    if (merge.verdict !== "applied") return merge.verdict;
    if (this.#openChars + merge.suffix.length > limits.entryBytes) return "too_large";
    open.text += merge.suffix;
    this.#openChars += merge.suffix.length;
    this.#open.set(delta.entryId, open);
    return "accept";
  }

  /** KV has everything up to `seq`. */
  commit(seq: number): void {
    if (seq <= this.#ackedSeq) return;
    this.#ackedSeq = Math.min(seq, this.#lastSeq);
    const first = this.#uncommitted.findIndex((event) => event.seq > this.#ackedSeq);
    this.#uncommitted = first < 0 ? [] : this.#uncommitted.slice(first);
  }

  /** The text of open entries that no durable record holds yet, as one delta an entry. */
  openDeltas(): Delta[] {
    const deltas: Delta[] = [];
    for (const [entryId, { base, text }] of this.#open) {
      if (text === "") continue;
      for (let at = 0; at < text.length; at += limits.deltaChars) {
        deltas.push({
          type: "delta",
          sessionId: this.sessionId,
          epoch: this.epoch,
          entryId,
          at: base + at,
          text: text.slice(at, at + limits.deltaChars),
        });
      }
    }
    return deltas;
  }

  #dropOpen(id: string): void {
    this.#openChars -= this.#open.get(id)?.text.length ?? 0;
    this.#open.delete(id);
  }
}
