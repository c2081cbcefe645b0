/**
 * One line of a journal: a CRC-32 in eight hex digits, a space, a JSON object, a newline. The checksum tells a line that the disk
 * damaged (still JSON, other text) from one that was written so.
 */
import { crc32 } from "node:zlib";
import * as z from "zod";
import { Attachment, CommandResult, Id, MetaPatch, QueuedPrompt, SessionMeta, WireEntry } from "@/protocol/mod.ts";

/** A prompt that waits for its turn, whole (meta.queue holds a shortened copy). */
export const WaitingPrompt = z.object({
  op: QueuedPrompt.shape.op,
  text: z.string(),
  attachments: z.array(Attachment),
  delivery: QueuedPrompt.shape.delivery,
  from: z.string(),
});
export type WaitingPrompt = z.infer<typeof WaitingPrompt>;

const Seq = z.number().int().positive();

export const JournalLine = z.discriminatedUnion("t", [
  /** First line. `lastSeq`: the log was at least this long when the file was (re)written. */
  z.object({ t: z.literal("header"), version: z.literal(1), logId: Id, lastSeq: z.number().int().nonnegative() }),
  /** A durable record: exactly one of the two. */
  z.object({ t: z.literal("record"), seq: Seq, entry: z.optional(WireEntry), meta: z.optional(MetaPatch) }),
  /** The whole meta as it was after `seq`; written by compaction in place of the patches. */
  z.object({ t: z.literal("meta"), seq: Seq, meta: SessionMeta }),
  /** Text that an open entry grew by; `at` is the length before it. */
  z.object({ t: z.literal("text"), entryId: Id, at: z.number().int().nonnegative(), text: z.string() }),
  /** A receipt. */
  z.object({ t: z.literal("op"), op: Id, status: CommandResult.shape.status, reason: z.string().optional() }),
  /** The hub has committed everything up to here. A hint: what the hub says at the next registration counts. */
  z.object({ t: z.literal("acked"), seq: z.number().int().nonnegative() }),
  /** Something the host must remember: the agent's own session id, who gave the title. Empty: forget it. */
  z.object({ t: z.literal("fact"), name: z.string(), value: z.string() }),
  z.object({ t: z.literal("queued"), prompt: WaitingPrompt }),
  z.object({ t: z.literal("unqueued"), op: z.string() }),
]);
export type JournalLine = z.infer<typeof JournalLine>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The JSON of a line: what its checksum covers. `t` comes first. */
export function lineJson(line: JournalLine): string {
  return JSON.stringify(line);
}

/** The bytes of a line, newline included. */
export function encodeLine(json: string): Uint8Array {
  return encoder.encode(`${checksum(json)} ${json}\n`);
}

/** The JSON of a line (given without its newline) when its checksum is right, else null. */
export function decodeLineJson(bytes: Uint8Array): string | null {
  if (bytes.length < 11 || bytes[8] !== 0x20) return null;
  const json = bytes.subarray(9);
  try {
    return checksum(json) === decoder.decode(bytes.subarray(0, 8)) ? decoder.decode(json) : null;
  } catch {
    return null;
  }
}

/** Reads a line (without its newline). Null when it is damaged in any way. */
export function decodeLine(bytes: Uint8Array): JournalLine | null {
  const json = decodeLineJson(bytes);
  if (json === null) return null;
  try {
    const parsed = JournalLine.safeParse(JSON.parse(json));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function checksum(data: string | Uint8Array): string {
  return crc32(data).toString(16).padStart(8, "0");
}
