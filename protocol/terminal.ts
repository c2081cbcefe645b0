/**
 * What travels in a terminal's stream between a viewer and the terminal's process on the runner, through the hub, which passes
 * the bytes on unread: messages of `type (1 byte), length (4 bytes, big endian), payload`. The stream may be cut anywhere.
 */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { Id, TimeMs } from "./shared.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Bounds of terminals. */
export const terminalLimits = {
  /** Largest payload of one message; longer output is cut into several. */
  messageBytes: 64 * KiB,
  /** Output that a viewer is sent beyond what it said it has shown. */
  windowBytes: 1 * MiB,
  /** A viewer says what it has shown after this much. */
  creditBytes: 64 * KiB,
  /** Output that waits for a viewer's credit; beyond it the viewer gets the current screen instead. */
  backlogBytes: 1 * MiB,
  /** Output that waits for the emulator; beyond it the program is paused until half is done. */
  emulatorBytes: 4 * MiB,
  /** Input that waits until the program reads it; beyond it nobody's input is taken. */
  inputBytes: 1 * MiB,
  scrollbackLines: 10_000,
  cols: 500,
  rows: 300,
  titleChars: 256,
  notificationChars: 512,
  /** Terminals of one runner, those that have exited and are not closed included. */
  terminals: 32,
  /** Viewers of one terminal. */
  viewers: 32,
  /** Text that a terminal may put into a viewer's clipboard (OSC 52). */
  clipboardBytes: 256 * KiB,
} as const;

/** Message types. Below 16: to the viewer; from 16: from the viewer. */
export const terminalTypes = {
  /** ScreenState as JSON: forget what is shown; what follows as output rebuilds the screen. */
  screen: 1,
  /** Bytes for the emulator. */
  output: 2,
  /** TerminalSize as JSON. It holds from exactly here in the output. */
  size: 3,
  /** TerminalStatus as JSON. */
  status: 4,
  /** Bytes for the program. */
  input: 16,
  /** TerminalSize as JSON: what fits at this viewer. Holds when this viewer typed last. */
  resize: 17,
  /** Output bytes shown since the last one, 4 bytes big endian. */
  credit: 18,
  /** Nothing: a person came to look. Whatever asked for one has one. */
  looked: 19,
} as const;

const Cols = z.int().check(z.gte(2), z.lte(terminalLimits.cols));
const Rows = z.int().check(z.gte(1), z.lte(terminalLimits.rows));

export const TerminalSize = z.object({ cols: Cols, rows: Rows });
export type TerminalSize = z.infer<typeof TerminalSize>;

/** The size, and whether this viewer decides it. */
export const SizeState = z.extend(TerminalSize, { isOwner: z.boolean() });
export type SizeState = z.infer<typeof SizeState>;

/** Whether its program runs, or how it ended: the exit code, or the signal that ended it. */
export const TerminalStatus = z.discriminatedUnion("state", [
  z.object({ state: z.literal("running") }),
  z.object({ state: z.literal("exited"), code: z.int(), signal: z.nullable(z.int()), at: TimeMs }),
]);
export type TerminalStatus = z.infer<typeof TerminalStatus>;

export const ScreenState = z.extend(SizeState, {
  title: z.string().check(z.maxLength(terminalLimits.titleChars)),
  status: TerminalStatus,
  /** Output was left out because this viewer did not keep up. */
  isSkip: z.boolean(),
});
export type ScreenState = z.infer<typeof ScreenState>;

/** A terminal as lists show it. */
export const TerminalInfo = z.extend(TerminalSize, {
  terminalId: Id,
  /** Given by a person; empty: the title or the program stands for it. */
  name: z.string().check(z.maxLength(limits.titleChars)),
  /** Set by the program (OSC 0 and 2), without control characters. */
  title: z.string().check(z.maxLength(terminalLimits.titleChars)),
  cwd: z.string().check(z.maxLength(limits.pathChars)),
  /** Program and arguments. */
  command: z.array(z.string()).check(z.minLength(1)),
  /** The session that it was opened from. */
  sessionId: z.nullable(Id),
  status: TerminalStatus,
  createdAt: TimeMs,
  viewerCount: z.int().check(z.nonnegative()),
  /** What asked for a person last (the bell, OSC 9 or 777) while nobody typed; null when somebody has since. */
  attention: z.nullable(
    z.object({ text: z.string().check(z.maxLength(terminalLimits.notificationChars)), at: TimeMs }),
  ),
});
export type TerminalInfo = z.infer<typeof TerminalInfo>;

/** What a person calls a terminal: its name, else its program's title, else its program. */
export function terminalName({ name, title, command }: Pick<TerminalInfo, "name" | "title" | "command">): string {
  return name || title || command[0]?.split("/").at(-1) || "terminal";
}

export const NewTerminal = z.extend(z.partial(TerminalSize), {
  /** An absolute folder inside the runner's roots. */
  cwd: z.string().check(z.minLength(1), z.maxLength(limits.pathChars)),
  /** Program and arguments; default: the user's shell. */
  command: z.optional(
    z.array(z.string().check(z.minLength(1), z.maxLength(4_096))).check(z.minLength(1), z.maxLength(64)),
  ),
  sessionId: z.optional(Id),
  name: z.optional(z.string().check(z.trim(), z.maxLength(limits.titleChars))),
});
export type NewTerminal = z.infer<typeof NewTerminal>;

/** What can be asked of a runner about its terminals. */
export const TerminalOrder = z.discriminatedUnion("do", [
  z.object({ do: z.literal("create"), terminal: NewTerminal }),
  z.object({ do: z.literal("list") }),
  /** Ends its program and removes it. */
  z.object({ do: z.literal("close"), terminalId: Id }),
  /** Starts its program anew in the same terminal, ending the one that runs. */
  z.object({ do: z.literal("restart"), terminalId: Id }),
]);
export type TerminalOrder = z.infer<typeof TerminalOrder>;

/** To the runner daemon. */
export const TerminalRequest = z.object({ type: z.literal("terminal_request"), requestId: Id, order: TerminalOrder });
/** Its answer: the terminals that it is about. */
export const TerminalResult = z.object({
  type: z.literal("terminal_result"),
  requestId: Id,
  ok: z.boolean(),
  terminals: z.optional(z.array(TerminalInfo).check(z.maxLength(terminalLimits.terminals))),
  /** When not ok: `not_found`: no such terminal; `conflict`: it cannot be done, `error` says why. */
  code: z.optional(z.enum(["not_found", "conflict"])),
  error: z.optional(z.string().check(z.maxLength(2_000))),
});
export type TerminalResult = z.infer<typeof TerminalResult>;
