/** Bytes that arrived and were not read yet. */

/** Pieces smaller than this are copied together, so that many small ones cost little more than their bytes. */
const SMALL_BYTES = 4 * 1024;
/** Largest buffer that small pieces are gathered in. */
const GATHER_BYTES = 64 * 1024;
/** A piece that is a smaller part than this of the message it came in is copied, so that it does not keep the whole message. */
const MIN_SHARE = 3 / 4;

/**
 * A queue whose memory stays in proportion to the bytes in it, however small the pieces are that they came in. Large pieces are
 * kept as the views they are.
 */
export class ReceiveQueue {
  #pieces: Uint8Array[] = [];
  /** The last piece's buffer, when it is the queue's own and has room behind it. */
  #gathering: Uint8Array | null = null;
  #bytes = 0;

  /** Bytes in it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `isBorrowed`: the piece's memory will be written over, so it is copied in any case. */
  push(piece: Uint8Array, isBorrowed: boolean): void {
    if (piece.length === 0) return;
    this.#bytes += piece.length;
    if (piece.length >= SMALL_BYTES) {
      const isKept = !isBorrowed && piece.length >= piece.buffer.byteLength * MIN_SHARE;
      this.#gathering = null;
      this.#pieces.push(isKept ? piece : piece.slice());
      return;
    }
    const last = this.#pieces.at(-1);
    if (this.#gathering !== null && last !== undefined && last.length + piece.length <= this.#gathering.length) {
      this.#gathering.set(piece, last.length);
      this.#pieces[this.#pieces.length - 1] = this.#gathering.subarray(0, last.length + piece.length);
      return;
    }
    // The first is copied as it is; what follows it gets a buffer that grows.
    const room = this.#gathering === null ? piece.length : Math.min(GATHER_BYTES, 4 * this.#gathering.length);
    const own = new Uint8Array(Math.max(room, piece.length));
    own.set(piece);
    this.#gathering = own;
    this.#pieces.push(own.subarray(0, piece.length));
  }

  /** Takes the oldest piece; null when there is none. */
  shift(): Uint8Array | null {
    const piece = this.#pieces.shift();
    if (piece === undefined) return null;
    if (this.#pieces.length === 0) this.#gathering = null;
    this.#bytes -= piece.length;
    return piece;
  }

  clear(): void {
    this.#pieces = [];
    this.#gathering = null;
    this.#bytes = 0;
  }
}
