/**
 * The session host's side of the log: what has been written, what is committed on the hub, and what may be sent now.
 * No I/O: the journal holds the records, this holds the numbers.
 */
import { limits } from "../limits.ts";

export interface ProducerWindow {
  maxRecords: number;
  maxBytes: number;
}

export class ProducerLog {
  #lastSeq: number;
  #ackedSeq = 0;
  #sentSeq = 0;
  #isRegistered = false;
  /** Sizes of the records between ackedSeq and sentSeq, oldest first. */
  #inFlight: number[] = [];
  #inFlightBytes = 0;
  readonly #window: ProducerWindow;

  /** `lastSeq`: the journal's. Nothing is sent before the hub said what it has. */
  constructor(
    lastSeq: number,
    window: ProducerWindow = { maxRecords: limits.unackedRecords, maxBytes: limits.unackedBytes },
  ) {
    this.#lastSeq = lastSeq;
    this.#window = window;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }
  get ackedSeq(): number {
    return this.#ackedSeq;
  }
  /** Last seq sent on this connection; deltas may only be sent when it equals lastSeq. */
  get sentSeq(): number {
    return this.#sentSeq;
  }
  get isRegistered(): boolean {
    return this.#isRegistered;
  }
  /** Whether every record has been handed to the socket, so that a delta would arrive after the record it appends to. */
  get isCaughtUp(): boolean {
    return this.#isRegistered && this.#sentSeq === this.#lastSeq;
  }

  /** A record was journaled. Returns its seq. */
  append(): number {
    return ++this.#lastSeq;
  }

  /**
   * The hub answered a registration. `resend`: everything after its ackedSeq is to be sent (again). `restart`: the hub has
   * more than the journal, so the journal lost its tail; it must be renumbered as a new log and registered again.
   */
  register(ackedSeq: number): "resend" | "restart" {
    if (ackedSeq > this.#lastSeq) return "restart";
    this.#isRegistered = true;
    this.#ackedSeq = ackedSeq;
    this.#sentSeq = ackedSeq;
    this.#inFlight = [];
    this.#inFlightBytes = 0;
    return "resend";
  }

  /** The socket is gone. */
  disconnect(): void {
    this.#isRegistered = false;
  }

  /** A cumulative ack. An older or repeated one changes nothing; one for what was never sent is refused with false. */
  ack(seq: number): boolean {
    if (!this.#isRegistered || seq > this.#sentSeq) return false;
    while (this.#ackedSeq < seq) {
      this.#ackedSeq++;
      this.#inFlightBytes -= this.#inFlight.shift() ?? 0;
    }
    return true;
  }

  /**
   * Takes the next records to send: `[from, to]` inclusive, or null when there are none or the window is full. At least one
   * record goes out when nothing is in flight, however large. `bytesOf` gives a record's size in bytes of JSON.
   */
  takeSendable(bytesOf: (seq: number) => number, maxRecords = Infinity): { from: number; to: number } | null {
    if (!this.#isRegistered) return null;
    const from = this.#sentSeq + 1;
    let to = this.#sentSeq;
    while (to < this.#lastSeq && to - from + 1 < maxRecords && this.#inFlight.length < this.#window.maxRecords) {
      const bytes = bytesOf(to + 1);
      if (this.#inFlight.length > 0 && this.#inFlightBytes + bytes > this.#window.maxBytes) break;
      this.#inFlight.push(bytes);
      this.#inFlightBytes += bytes;
      to++;
    }
    this.#sentSeq = to;
    return to >= from ? { from, to } : null;
  }
}
