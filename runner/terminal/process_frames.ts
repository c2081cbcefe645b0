/** What the daemon and a terminal's process say to each other over its stdin and stdout, in the framing of terminal streams. */
import * as z from "zod";
import { Id, limits } from "@/protocol/mod.ts";
import { TerminalInfo, terminalLimits, TerminalSize } from "@/protocol/terminal.ts";
import { encodeMessage, type TerminalMessage, TerminalProtocolError } from "@/protocol/terminal_codec.ts";

/** Frame types. Those for one viewer begin with its number, 4 bytes big endian. */
export const frameTypes = {
  /** To the process, once and first: StartOrder as JSON. */
  start: 1,
  /** To the process: a viewer, and one byte: 1 when it may type. */
  attach: 2,
  /** Both ways: a viewer, and bytes of its stream. */
  data: 3,
  /** To the process: a viewer is gone. */
  detach: 4,
  restart: 5,
  close: 6,
  /** To the daemon: TerminalInfo as JSON. */
  info: 7,
  /** To the daemon: the terminal cannot be started, as text. The process ends. */
  problem: 8,
  /** To the daemon: a viewer that broke the protocol, and how, as text. */
  fail: 9,
  /** To the daemon: a viewer, and how many bytes of it are taken, 4 bytes. */
  taken: 10,
  /** To the process: text to be typed as a person pastes it, then Enter. */
  enter: 11,
  /** To the process: bytes for the program. */
  keys: 12,
  /** To the process: hang up. `ended` follows. */
  hangUp: 13,
  /** From an observed process: output came. At most every OBSERVED_MS. */
  output: 14,
  /** From an observed process: a person came to look, or typed. At most every OBSERVED_MS, and after each `raised`. */
  person: 15,
  /** From an observed process: the bell ("bell") or a notification, as text. The same again only after OBSERVED_MS. */
  raised: 16,
  /** From an observed process: its program ended, EndedFrame as JSON. */
  ended: 17,
  /** From an observed process: its size changed. At most every OBSERVED_MS. */
  resized: 18,
} as const;

/** An observer hears of output and people this often at most. */
export const OBSERVED_MS = 250;
/** Lines of the screen that are told at the end. */
export const LAST_LINES = 40;

/** Largest payload of a frame. */
export const FRAME_BYTES = 1024 * 1024;
/** Bytes of one viewer that the daemon sends beyond what the process has taken. */
export const VIEWER_INPUT_BYTES = 256 * 1024;

/** Of a frame and of a message in it: type and length. */
const HEADER_BYTES = 5;
/** Before the payload of a message for one viewer. */
const MESSAGE_FRAME_BYTES = HEADER_BYTES + 4 + HEADER_BYTES;

export const StartOrder = z.object({
  ...TerminalSize.shape,
  terminalId: Id,
  name: z.string().max(limits.titleChars),
  cwd: z.string().max(limits.pathChars),
  command: z.array(z.string()).min(1),
  sessionId: z.nullable(Id),
  /** Whether the other end hears of output, people, notifications and the end. */
  isObserved: z.boolean(),
});
export type StartOrder = z.infer<typeof StartOrder>;

export const InfoFrame = TerminalInfo;

export const EndedFrame = z.object({
  code: z.number().int(),
  signal: z.number().int().nullable(),
  /** The last lines of its screen. */
  lastLines: z.string().max(64 * 1024),
});
export type EndedFrame = z.infer<typeof EndedFrame>;

/** A frame for or from one viewer. */
export function viewerFrame(type: number, viewer: number, bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const payload = new Uint8Array(4 + bytes.length);
  new DataView(payload.buffer).setUint32(0, viewer);
  payload.set(bytes, 4);
  return encodeMessage(type, payload);
}

/** Makes frames that carry one message for one viewer (type `data`), all in the same memory. */
export class ViewerMessageFrames {
  readonly #bytes = new Uint8Array(MESSAGE_FRAME_BYTES + terminalLimits.messageBytes);
  readonly #view = new DataView(this.#bytes.buffer);

  /** The frame, until the next one is made. The payload may have terminalLimits.messageBytes. */
  frame(viewer: number, type: number, payload: Uint8Array): Uint8Array {
    this.#view.setUint8(0, frameTypes.data);
    this.#view.setUint32(1, 4 + HEADER_BYTES + payload.length);
    this.#view.setUint32(5, viewer);
    this.#view.setUint8(9, type);
    this.#view.setUint32(10, payload.length);
    this.#bytes.set(payload, MESSAGE_FRAME_BYTES);
    return this.#bytes.subarray(0, MESSAGE_FRAME_BYTES + payload.length);
  }
}

/** The viewer of a frame, and the rest of it. Throws TerminalProtocolError. */
export function readViewer({ type, payload }: TerminalMessage): { viewer: number; bytes: Uint8Array } {
  if (payload.length < 4) throw new TerminalProtocolError(`frame type ${type}: the viewer's number is missing`);
  const viewer = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
  return { viewer, bytes: payload.subarray(4) };
}

/** A count as 4 bytes. */
export function countBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, count);
  return bytes;
}

/** The size of a terminal whose first viewer is not there yet. */
export const defaultSize: TerminalSize = { cols: 80, rows: 24 };

/** Most characters of a problem that is told. */
export const PROBLEM_CHARS = terminalLimits.notificationChars;
