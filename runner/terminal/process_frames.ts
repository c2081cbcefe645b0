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
} as const;

/** Largest payload of a frame. */
export const FRAME_BYTES = 1024 * 1024;
/** Bytes of one viewer that the daemon sends beyond what the process has taken. */
export const VIEWER_INPUT_BYTES = 256 * 1024;

export const StartOrder = TerminalSize.extend({
  terminalId: Id,
  name: z.string().max(limits.titleChars),
  cwd: z.string().max(limits.pathChars),
  command: z.array(z.string()).min(1),
  sessionId: Id.nullable(),
});
export type StartOrder = z.infer<typeof StartOrder>;

export const InfoFrame = TerminalInfo;

/** A frame for or from one viewer. */
export function viewerFrame(type: number, viewer: number, bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const payload = new Uint8Array(4 + bytes.length);
  new DataView(payload.buffer).setUint32(0, viewer);
  payload.set(bytes, 4);
  return encodeMessage(type, payload);
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
