/**
 * Frames of the data link: `stream id u32, type u8, length u24, payload`, big endian. One WebSocket message holds one or more
 * whole frames. Frames of stream 0 are about the link itself.
 */
import { linkLimits, type ResetCode, resetCodes } from "./types.ts";

export const frameTypes = { open: 1, data: 2, credit: 3, end: 4, reset: 5, ping: 6, pong: 7 } as const;
export type FrameType = (typeof frameTypes)[keyof typeof frameTypes];

/** Bytes before each payload. */
export const FRAME_HEAD_BYTES = 8;
/** Longest message of a reset, in bytes of UTF-8. */
export const RESET_MESSAGE_BYTES = 1_024;

/** What arrives breaks the protocol of the link: it cannot go on. */
export class LinkProtocolError extends Error {
  override name = "LinkProtocolError";
  constructor(
    readonly code: "truncated" | "unknown_type" | "too_large" | "malformed" | "not_binary",
    message: string,
  ) {
    super(message);
  }
}

/** What a decoded message is handed to, frame by frame. Bytes are views of the message. */
export interface FrameHandler {
  /** `header` is JSON that has not been looked at yet. */
  onOpen(streamId: number, header: Uint8Array): void;
  onData(streamId: number, bytes: Uint8Array): void;
  /** Stream 0: bytes that the other end has received, on whatever stream. */
  onCredit(streamId: number, bytes: number): void;
  onEnd(streamId: number): void;
  onReset(streamId: number, code: ResetCode, message: string): void;
  onPing(): void;
  onPong(): void;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Hands each frame of a message to `handler`, in order. Throws LinkProtocolError at the first that is not one. */
export function decodeMessage(message: Uint8Array, handler: FrameHandler): void {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  while (at < message.byteLength) {
    if (message.byteLength - at < FRAME_HEAD_BYTES) {
      throw new LinkProtocolError("truncated", `a frame's head is cut off after ${message.byteLength - at} bytes`);
    }
    const streamId = view.getUint32(at);
    const typeAndLength = view.getUint32(at + 4);
    const type = typeAndLength >>> 24;
    const length = typeAndLength & 0xffffff;
    const from = at + FRAME_HEAD_BYTES;
    checkHead(streamId, type, length);
    at = from + length;
    if (at > message.byteLength) {
      throw new LinkProtocolError(
        "truncated",
        `a frame of ${length} bytes is cut off after ${message.byteLength - from}`,
      );
    }
    switch (type) {
      case frameTypes.open:
        handler.onOpen(streamId, message.subarray(from, at));
        break;
      case frameTypes.data:
        handler.onData(streamId, message.subarray(from, at));
        break;
      case frameTypes.credit:
        handler.onCredit(streamId, view.getUint32(from));
        break;
      case frameTypes.end:
        handler.onEnd(streamId);
        break;
      case frameTypes.reset:
        handler.onReset(streamId, resetCodeOf(message[from]!), decodeText(message.subarray(from + 1, at)));
        break;
      case frameTypes.ping:
        handler.onPing();
        break;
      case frameTypes.pong:
        handler.onPong();
        break;
    }
  }
}

/** Throws unless a frame of this type may have this length and this stream. */
function checkHead(streamId: number, type: number, length: number): void {
  const range = lengths.get(type);
  if (range === undefined) {
    throw new LinkProtocolError("unknown_type", `frame type ${type}: expected ${[...lengths.keys()].join(", ")}`);
  }
  const [min, max, isOfLink, isOfStream] = range;
  if (length > max) {
    throw new LinkProtocolError("too_large", `a frame of type ${type} holds ${length} bytes; at most ${max} may be`);
  }
  if (length < min) {
    throw new LinkProtocolError("malformed", `a frame of type ${type} holds ${length} bytes; at least ${min} must be`);
  }
  if (streamId === 0 ? !isOfLink : !isOfStream) {
    throw new LinkProtocolError("malformed", `a frame of type ${type} cannot be of stream ${streamId}`);
  }
}

/** Of each type: least and largest payload in bytes, and whether it may be of stream 0 and of others. */
const lengths: ReadonlyMap<number, readonly [number, number, boolean, boolean]> = new Map([
  [frameTypes.open, [2, linkLimits.headerBytes, false, true]],
  [frameTypes.data, [0, linkLimits.dataBytes, false, true]],
  [frameTypes.credit, [4, 4, true, true]],
  [frameTypes.end, [0, 0, false, true]],
  [frameTypes.reset, [1, 1 + RESET_MESSAGE_BYTES, false, true]],
  [frameTypes.ping, [0, 0, true, false]],
  [frameTypes.pong, [0, 0, true, false]],
]);

function resetCodeOf(index: number): ResetCode {
  const code = resetCodes[index];
  if (code === undefined) {
    throw new LinkProtocolError("malformed", `reset code ${index}: at most ${resetCodes.length - 1}`);
  }
  return code;
}

/** Decodes UTF-8. Throws LinkProtocolError. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new LinkProtocolError("malformed", "the text of a frame is not UTF-8");
  }
}

/** Parses the JSON of an OPEN frame. Throws LinkProtocolError. */
export function decodeJson(bytes: Uint8Array): unknown {
  const text = decodeText(bytes);
  try {
    return JSON.parse(text);
  } catch {
    throw new LinkProtocolError("malformed", "the header of a stream is not JSON");
  }
}

/** The JSON of a stream's header. Throws RangeError when it is over linkLimits.headerBytes. */
export function headerJson(header: unknown): string {
  const json = JSON.stringify(header);
  // A character is three bytes at most.
  const bytes = json.length * 3 > linkLimits.headerBytes ? encoder.encode(json).length : json.length;
  if (bytes > linkLimits.headerBytes) {
    throw new RangeError(`the header of a stream holds ${bytes} bytes; at most ${linkLimits.headerBytes} may be`);
  }
  return json;
}

/** An OPEN frame. Throws RangeError when the header's JSON is over linkLimits.headerBytes. */
export function encodeOpen(streamId: number, header: unknown): Uint8Array<ArrayBuffer> {
  return frame(streamId, frameTypes.open, encoder.encode(headerJson(header)));
}

/** A RESET frame; the message is cut to RESET_MESSAGE_BYTES. */
export function encodeReset(streamId: number, code: ResetCode, message: string): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(1 + RESET_MESSAGE_BYTES);
  payload[0] = resetCodes.indexOf(code);
  // It stops before a character that does not fit as a whole.
  const { written } = encoder.encodeInto(message, payload.subarray(1));
  return frame(streamId, frameTypes.reset, payload.subarray(0, 1 + written));
}

export function encodeEnd(streamId: number): Uint8Array<ArrayBuffer> {
  return frame(streamId, frameTypes.end, new Uint8Array(0));
}

/** A CREDIT frame; stream 0 for the link's own. */
export function encodeCredit(streamId: number, bytes: number): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, bytes);
  return frame(streamId, frameTypes.credit, payload);
}

export function encodeData(streamId: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return frame(streamId, frameTypes.data, bytes);
}

export function encodePing(): Uint8Array<ArrayBuffer> {
  return frame(0, frameTypes.ping, new Uint8Array(0));
}

export function encodePong(): Uint8Array<ArrayBuffer> {
  return frame(0, frameTypes.pong, new Uint8Array(0));
}

function frame(streamId: number, type: FrameType, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEAD_BYTES + payload.length);
  writeHead(new DataView(bytes.buffer), 0, streamId, type, payload.length);
  bytes.set(payload, FRAME_HEAD_BYTES);
  return bytes;
}

/** Writes the head of a frame at `at`. */
export function writeHead(view: DataView, at: number, streamId: number, type: FrameType, length: number): void {
  view.setUint32(at, streamId);
  view.setUint32(at + 4, type * 0x1000000 + length);
}
