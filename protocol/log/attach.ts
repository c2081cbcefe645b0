/** The verdict on a viewer's attach. */
import type { Cursor } from "../shared.ts";

export type AttachVerdict = "resume" | "snapshot" | "ahead";

/**
 * Decides how a viewer with `cursor` catches up with a log at `head`, whose `seq` counts every record that the hub can
 * show (committed or not). `trimmedSeq`: the newest change of an entry that the hub no longer holds; who knows less cannot be
 * told what changed. Never a guess: another epoch or nothing read yet is a snapshot; more than the hub has is
 * `ahead` (the hub lost uncommitted records in a crash and the host will send them again, unchanged).
 */
export function decideAttach(cursor: Cursor | undefined, head: Cursor, trimmedSeq = 0): AttachVerdict {
  if (cursor === undefined || cursor.seq === 0 || cursor.epoch !== head.epoch) return "snapshot";
  if (cursor.seq < trimmedSeq) return "snapshot";
  return cursor.seq > head.seq ? "ahead" : "resume";
}
