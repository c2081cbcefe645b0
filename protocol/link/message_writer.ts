/** Packs frames into messages. */
import { FRAME_HEAD_BYTES, frameTypes, writeHead } from "./codec.ts";
import { linkLimits } from "./types.ts";

/**
 * A message is sent when the next frame would make it longer than this: one full DATA frame, with some small ones before it. Larger
 * messages were not faster, and cost the receiver larger buffers.
 */
export const MESSAGE_BYTES = linkLimits.dataBytes + FRAME_HEAD_BYTES + 4 * 1024;

/** Fills one buffer over and over and hands it to `send`, which must be done with the bytes when it returns. */
export class MessageWriter {
  readonly #send: (message: Uint8Array<ArrayBuffer>) => void;
  readonly #buffer = new Uint8Array(MESSAGE_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;

  constructor(send: (message: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  /** Adds a frame that is encoded already. */
  add(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#used + frame.length > this.#buffer.length) this.flush();
    if (frame.length > this.#buffer.length) {
      this.#send(frame);
      return;
    }
    this.#buffer.set(frame, this.#used);
    this.#used += frame.length;
  }

  /** Adds a DATA frame; the result is where its `length` bytes must be written before the next call. */
  addData(streamId: number, length: number): Uint8Array {
    if (this.#used + FRAME_HEAD_BYTES + length > this.#buffer.length) this.flush();
    writeHead(this.#view, this.#used, streamId, frameTypes.data, length);
    const from = this.#used + FRAME_HEAD_BYTES;
    this.#used = from + length;
    return this.#buffer.subarray(from, this.#used);
  }

  addCredit(streamId: number, bytes: number): void {
    if (this.#used + FRAME_HEAD_BYTES + 4 > this.#buffer.length) this.flush();
    writeHead(this.#view, this.#used, streamId, frameTypes.credit, 4);
    this.#view.setUint32(this.#used + FRAME_HEAD_BYTES, bytes);
    this.#used += FRAME_HEAD_BYTES + 4;
  }

  /** Sends what is packed. */
  flush(): void {
    if (this.#used === 0) return;
    const used = this.#used;
    this.#used = 0;
    this.#send(this.#buffer.subarray(0, used));
  }
}
