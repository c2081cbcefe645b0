/** Packs frames into messages. */
import { FRAME_HEAD_BYTES, frameTypes, RESET_MESSAGE_BYTES, writeHead } from "./codec.ts";
import { linkLimits, type ResetCode, resetCodes } from "./types.ts";

/**
 * A message is sent when the next frame would make it longer than this: one full DATA frame, with some small ones before it. Larger
 * messages were not faster, and cost the receiver larger buffers.
 */
export const MESSAGE_BYTES = linkLimits.dataBytes + FRAME_HEAD_BYTES + 4 * 1024;
/** UTF-8 of one UTF-16 code unit, at most. */
const CHAR_BYTES = 3;

const encoder = new TextEncoder();

/** Fills one buffer over and over and hands it to `send`, which must be done with the bytes when it returns. */
export class MessageWriter {
  readonly #send: (message: Uint8Array<ArrayBuffer>) => void;
  readonly #buffer = new Uint8Array(MESSAGE_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;

  constructor(send: (message: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  /** Adds an OPEN frame. `json` is at most linkLimits.headerBytes long. */
  addOpen(streamId: number, json: string): void {
    const most = FRAME_HEAD_BYTES + CHAR_BYTES * json.length;
    if (most > this.#buffer.length) {
      const frame = new Uint8Array(most);
      const { written } = encoder.encodeInto(json, frame.subarray(FRAME_HEAD_BYTES));
      writeHead(new DataView(frame.buffer), 0, streamId, frameTypes.open, written);
      this.flush();
      this.#send(frame.subarray(0, FRAME_HEAD_BYTES + written));
      return;
    }
    this.#makeRoom(most);
    const { written } = encoder.encodeInto(json, this.#buffer.subarray(this.#used + FRAME_HEAD_BYTES));
    this.#addHead(streamId, frameTypes.open, written);
    this.#used += written;
  }

  /** Adds a DATA frame; the result is where its `length` bytes must be written before the next call. */
  addData(streamId: number, length: number): Uint8Array {
    this.#makeRoom(FRAME_HEAD_BYTES + length);
    this.#addHead(streamId, frameTypes.data, length);
    const from = this.#used;
    this.#used += length;
    return this.#buffer.subarray(from, this.#used);
  }

  addCredit(streamId: number, bytes: number): void {
    this.#makeRoom(FRAME_HEAD_BYTES + 4);
    this.#addHead(streamId, frameTypes.credit, 4);
    this.#view.setUint32(this.#used, bytes);
    this.#used += 4;
  }

  /** Adds a RESET frame; the message is cut to RESET_MESSAGE_BYTES. */
  addReset(streamId: number, code: ResetCode, message: string): void {
    this.#makeRoom(FRAME_HEAD_BYTES + 1 + RESET_MESSAGE_BYTES);
    const from = this.#used + FRAME_HEAD_BYTES + 1;
    // It stops before a character that does not fit as a whole.
    const { written } = encoder.encodeInto(message, this.#buffer.subarray(from, from + RESET_MESSAGE_BYTES));
    this.#addHead(streamId, frameTypes.reset, 1 + written);
    this.#buffer[this.#used] = resetCodes.indexOf(code);
    this.#used += 1 + written;
  }

  /** Adds a frame without payload: END, PING, PONG. */
  addEmpty(streamId: number, type: typeof frameTypes.end | typeof frameTypes.ping | typeof frameTypes.pong): void {
    this.#makeRoom(FRAME_HEAD_BYTES);
    this.#addHead(streamId, type, 0);
  }

  /** Sends what is packed. */
  flush(): void {
    if (this.#used === 0) return;
    const used = this.#used;
    this.#used = 0;
    this.#send(this.#buffer.subarray(0, used));
  }

  #makeRoom(bytes: number): void {
    if (this.#used + bytes > this.#buffer.length) this.flush();
  }

  #addHead(streamId: number, type: (typeof frameTypes)[keyof typeof frameTypes], length: number): void {
    writeHead(this.#view, this.#used, streamId, type, length);
    this.#used += FRAME_HEAD_BYTES;
  }
}
