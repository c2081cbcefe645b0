/** The framing of terminal streams: `type (1 byte), length (4 bytes, big endian), payload`. Pure. */
import type * as z from "zod/mini";

const HEADER_BYTES = 5;

/** The other side broke the framing, or a message is not what its type says. */
export class TerminalProtocolError extends Error {
  override name = "TerminalProtocolError";
}

export interface TerminalMessage {
  type: number;
  /** May share memory with the chunk that it came in. */
  payload: Uint8Array;
}

/** One message as bytes. */
export function encodeMessage(type: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A message whose payload is JSON. */
export function encodeJson(type: number, value: unknown): Uint8Array<ArrayBuffer> {
  return encodeMessage(type, new TextEncoder().encode(JSON.stringify(value)));
}

/** A message whose payload is a count. */
export function encodeCount(type: number, count: number): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, count);
  return encodeMessage(type, payload);
}

/** The JSON payload by its schema. Throws TerminalProtocolError naming the field. */
export function readJson<S extends z.ZodMiniType>(schema: S, { type, payload }: TerminalMessage): z.infer<S> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(payload));
  } catch {
    throw new TerminalProtocolError(`message type ${type}: the payload is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join(".") || "payload";
  throw new TerminalProtocolError(`message type ${type}: ${field}: ${issue?.message ?? "is not valid"}`);
}

/** The count that a payload is. Throws TerminalProtocolError. */
export function readCount({ type, payload }: TerminalMessage): number {
  if (payload.length !== 4) {
    throw new TerminalProtocolError(`message type ${type}: the payload must be 4 bytes, it is ${payload.length}`);
  }
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

/** Finds messages in a stream that may be cut anywhere. Keeps at most one unfinished message of `maxBytes`. */
export class MessageDecoder {
  readonly #maxBytes: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #payload: Uint8Array | null = null;
  #filled = 0;

  /** @param maxBytes largest payload that is taken. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The messages that are complete with these bytes. Throws TerminalProtocolError for a payload over the bound; the stream is then of no use. */
  *push(bytes: Uint8Array): Generator<TerminalMessage> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#headerFilled < HEADER_BYTES) {
        const taken = Math.min(HEADER_BYTES - this.#headerFilled, bytes.length - at);
        this.#header.set(bytes.subarray(at, at + taken), this.#headerFilled);
        this.#headerFilled += taken;
        at += taken;
        if (this.#headerFilled < HEADER_BYTES) return;
      }
      const type = this.#header[0]!;
      const length = new DataView(this.#header.buffer).getUint32(1);
      if (length > this.#maxBytes) {
        throw new TerminalProtocolError(
          `message type ${type}: a payload of ${length} bytes is over the limit of ${this.#maxBytes}`,
        );
      }
      if (this.#payload === null) {
        if (bytes.length - at >= length) {
          const payload = bytes.subarray(at, at + length);
          at += length;
          this.#headerFilled = 0;
          yield { type, payload };
          continue;
        }
        this.#payload = new Uint8Array(length);
        this.#filled = 0;
      }
      const taken = Math.min(length - this.#filled, bytes.length - at);
      this.#payload.set(bytes.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled < length) return;
      const payload = this.#payload;
      this.#payload = null;
      this.#headerFilled = 0;
      yield { type, payload };
    }
  }
}
