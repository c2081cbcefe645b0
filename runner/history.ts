/** Pages of a journal's entries, for the hub that no longer holds them. Pure: refs and a way to read them come in. */
import { type Entry, type HistoryPage, limits, type WireEntry } from "@/protocol/mod.ts";
import type { EntryRef } from "./journal_index.ts";

export type JournalPage = Pick<HistoryPage, "entries" | "hasMore">;

/**
 * The page that ends right before `before`: ascending, without holes, each entry as of its last record. `refs` ascend by index; `read`
 * may throw. What the journal lost to damage is a notice in its place, so that what lies before it can still be reached.
 */
export function historyPage(
  refs: readonly EntryRef[],
  read: (ref: EntryRef) => WireEntry,
  before: number,
  limit: number,
): JournalPage {
  const entries: Entry[] = [];
  let at = firstFrom(refs, before) - 1;
  let bytes = 0;
  let index = before - 1;
  for (; index >= 0 && at >= 0 && entries.length < limit; index--) {
    const ref = refs[at];
    const isHere = ref?.index === index;
    if (isHere && entries.length > 0 && bytes + ref.span.bytes > limits.pageBytes) break;
    entries.push(isHere ? readEntry(ref, read) : missingEntry(index));
    if (!isHere) continue;
    bytes += ref.span.bytes;
    at--;
  }
  return { entries: entries.reverse(), hasMore: index >= 0 && at >= 0 };
}

/** Position of the first ref with an index of `index` or more. */
function firstFrom(refs: readonly EntryRef[], index: number): number {
  let low = 0;
  let high = refs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (refs[middle]!.index < index) low = middle + 1;
    else high = middle;
  }
  return low;
}

function readEntry(ref: EntryRef, read: (ref: EntryRef) => WireEntry): Entry {
  try {
    return { ...read(ref), seq: ref.seq };
  } catch {
    return missingEntry(ref.index);
  }
}

function missingEntry(index: number): Entry {
  return {
    id: `missing-${index}`,
    index,
    seq: 1,
    kind: "notice",
    head: { status: "completed", startedAt: 0, textLength: 0 },
    body: { level: "warning", text: "This entry was damaged on the runner's disk." },
  };
}
