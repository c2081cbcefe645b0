/**
 * Removing the oldest entries of a log (retention). Whoever does it, the log's own writer or a sweep on any isolate, commits the
 * head that `trimStep` gives under a check of the head that it was made from: so a trim and a commit, or two trims, can never mix.
 */
import { type Entry, limits } from "@/protocol/mod.ts";
import { keys } from "@/lib/kv/keys.ts";
import { type BlobRef, decodeJson, dropBlob } from "@/lib/kv/packed.ts";
import type { HeadRow, PackedEntry } from "./rows.ts";

/** A log or user over its bytes is trimmed down to this part of them, so that trimming is not for every record. */
export const trimTo = 0.9;
/** Rows deleted by one step, parts of blobs included: with its head it fits into one commit. */
const stepDeletes = 400;

/** What a commit must know of the stored version of an entry to replace or remove it. */
export interface StoredEntry {
  id: string;
  seq: number;
  bytes: number;
  blob: BlobRef | null;
}

export function storedOf(value: PackedEntry): StoredEntry {
  if (!(value instanceof Uint8Array)) return { id: value.id, seq: value.seq, bytes: value.bytes, blob: value };
  const { id, seq } = decodeJson<Entry>(value);
  return { id, seq, bytes: value.length, blob: null };
}

/** Index of the first entry of the page that a viewer is shown first; nextIndex when nothing is stored. */
export async function newestPageStart(kv: Deno.Kv, sessionId: string, head: HeadRow): Promise<number> {
  let bytes = 0;
  let start = head.nextIndex;
  const selector = {
    start: keys.session.entry(sessionId, head.epoch, head.oldestIndex),
    end: keys.session.entry(sessionId, head.epoch, head.nextIndex),
  };
  const options = { reverse: true, limit: limits.pageEntries, batchSize: 16 };
  for await (const { key, value } of kv.list<PackedEntry>(selector, options)) {
    const size = value instanceof Uint8Array ? value.length : value.bytes;
    if (start < head.nextIndex && bytes + size > limits.pageBytes) break;
    bytes += size;
    start = key[5] as number;
  }
  return start;
}

export interface TrimGoal {
  /** Entries go, oldest first, until no more than this is stored … */
  toBytes: number;
  /** … but none from this index on. */
  keepFrom: number;
}

/** The next bounded step towards `goal`: the head after it, and the deletes. Null: nothing is left to remove. */
export async function trimStep(
  kv: Deno.Kv,
  sessionId: string,
  head: HeadRow,
  { toBytes, keepFrom }: TrimGoal,
): Promise<{ head: HeadRow; deletes: Deno.KvMutation[] } | null> {
  if (head.bytes <= toBytes || keepFrom <= head.oldestIndex) return null;
  const after = { ...head };
  const deletes: Deno.KvMutation[] = [];
  const selector = {
    start: keys.session.entry(sessionId, head.epoch, head.oldestIndex),
    end: keys.session.entry(sessionId, head.epoch, keepFrom),
  };
  for await (const { key, value } of kv.list<PackedEntry>(selector, { batchSize: 32 })) {
    const { seq, bytes, blob } = storedOf(value);
    if (after.bytes <= toBytes) break;
    if (deletes.length > 0 && deletes.length + 2 + (blob?.parts ?? 0) > stepDeletes) break;
    deletes.push({ type: "delete", key }, { type: "delete", key: keys.session.seq(sessionId, head.epoch, seq) });
    if (blob) deletes.push(...dropBlob(blob, (id, part) => keys.session.blob(sessionId, head.epoch, id, part)));
    after.bytes -= bytes;
    after.oldestIndex = key[5] as number + 1;
    after.trimmedSeq = Math.max(after.trimmedSeq, seq);
  }
  return deletes.length === 0 ? null : { head: after, deletes };
}
