/** What a session's journal on disk adds up to, read while its host may be writing it. */
import type { SessionMeta } from "@/protocol/mod.ts";
import { loadJournal } from "@/runner/journal.ts";
import { streamText } from "@/runner/journal_index.ts";
import { decodeLine } from "@/runner/journal_line.ts";
import type { SessionDir } from "@/runner/data_dir.ts";
import type { ShownEntry } from "../support/viewer.ts";

export interface JournalState {
  lastSeq: number;
  /** Oldest first; each as its last record says, with the text that it stands at now. */
  entries: ShownEntry[];
  meta: SessionMeta;
}

/** Reads the journal. A line that is being written at this moment does not count yet. */
export async function readJournal(dir: SessionDir): Promise<JournalState> {
  const bytes = await Deno.readFile(dir.journal);
  const { index, damage } = loadJournal(bytes);
  const real = damage.filter((message) => !message.includes("torn write"));
  if (real.length > 0) throw new Error(`${dir.journal}: ${real.join("; ")}`);
  const entries = index.timeline().map((ref): ShownEntry => {
    const line = decodeLine(bytes.subarray(ref.span.offset, ref.span.offset + ref.span.bytes - 1));
    if (line?.t !== "record" || line.entry === undefined) throw new Error(`no record at byte ${ref.span.offset}`);
    const { id, kind, head, body } = line.entry;
    const text = streamText(index.open.get(id)?.entry ?? line.entry);
    return { id, index: line.entry.index, seq: ref.seq, kind, head, body, text };
  });
  return { lastSeq: index.lastSeq, entries, meta: index.meta };
}
