/** How fast the bytes of a tunnel pass. Pure: the caller brings the clock and waits itself. */

/** What was not used in this time may be made up for at once; it is less than anybody notices. */
const BURST_MS = 100;

/**
 * A queue at a counter: each piece takes its place, and passes when those before it have had their time. So streams share
 * the rate by the pieces that they bring, none overtakes another, and a piece that is larger than a second's worth passes, too.
 */
export class Pacer {
  readonly bytesPerS: number;
  /** When the next piece may pass. */
  #freeMs: number;

  constructor(bytesPerS: number, nowMs: number) {
    this.bytesPerS = bytesPerS;
    this.#freeMs = nowMs - BURST_MS;
  }

  /** Takes a place for this many bytes; they may pass after so many ms. */
  take(bytes: number, nowMs: number): number {
    const startMs = Math.max(this.#freeMs, nowMs - BURST_MS);
    this.#freeMs = startMs + bytes / this.bytesPerS * 1_000;
    return Math.max(0, Math.ceil(startMs - nowMs));
  }
}
