/** Buffers for bodies on their way, used over and over: V8 learns late of memory that is not its own. */

/** What one read of a body takes at most: one frame of the data link. */
export const BODY_BYTES = 64 * 1024;
/** Buffers that are kept while nobody uses them. */
const KEPT_MAX = 32;

export class Buffers {
  readonly #kept: Uint8Array<ArrayBuffer>[] = [];

  /** A buffer of BODY_BYTES, with whatever is in it. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#kept.pop() ?? new Uint8Array(BODY_BYTES);
  }

  /** Nobody reads or writes it any more. */
  giveBack(buffer: Uint8Array<ArrayBuffer>): void {
    if (this.#kept.length < KEPT_MAX) this.#kept.push(buffer);
  }
}
