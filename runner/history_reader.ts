/**
 * Reads pages of journals that nobody in this process has open: of sessions that ended, for the daemon. Takes no lock: lines are only
 * ever appended, and compaction puts a new file in the place of the old one, which stays readable while it is open here.
 */
import { readAllSync, readFullSync } from "./atomic_file.ts";
import type { SessionDir } from "./data_dir.ts";
import { historyPage, type JournalPage } from "./history.ts";
import { loadJournal } from "./journal.ts";
import type { EntryRef } from "./journal_index.ts";
import { decodeLine } from "./journal_line.ts";

/** Journals that are kept open between pages, so that paging through one reads it once. */
const MAX_OPEN = 2;
/** An open journal that nobody asked for in this time is closed. */
const IDLE_MS = 30_000;

interface OpenJournal {
  file: Deno.FsFile;
  /** Tells the file as it was read from what stands there now. */
  version: string;
  refs: EntryRef[];
}

export class HistoryReader implements Disposable {
  readonly #open = new Map<string, OpenJournal>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** See historyPage. Throws when the journal cannot be read. */
  page(dir: SessionDir, before: number, limit: number): JournalPage {
    const journal = this.#take(dir.journal);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#closeAll(), IDLE_MS);
    return historyPage(journal.refs, (ref) => readRecord(journal.file, ref), before, limit);
  }

  #take(path: string): OpenJournal {
    const known = this.#open.get(path);
    if (known?.version === versionOf(Deno.statSync(path))) return known;
    known?.file.close();
    this.#open.delete(path);
    const file = Deno.openSync(path, { read: true });
    try {
      const version = versionOf(file.statSync());
      const journal = { file, version, refs: loadJournal(readAllSync(file)).index.timeline() };
      for (const [oldest, { file }] of this.#open) {
        if (this.#open.size < MAX_OPEN) break;
        file.close();
        this.#open.delete(oldest);
      }
      this.#open.set(path, journal);
      return journal;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #closeAll(): void {
    for (const { file } of this.#open.values()) file.close();
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#closeAll();
  }
}

function versionOf({ dev, ino, size, mtime }: Deno.FileInfo): string {
  return `${dev} ${ino} ${size} ${mtime?.getTime()}`;
}

function readRecord(file: Deno.FsFile, { span }: EntryRef) {
  const bytes = new Uint8Array(span.bytes - 1);
  file.seekSync(span.offset, Deno.SeekMode.Start);
  readFullSync(file, bytes);
  const line = decodeLine(bytes);
  if (line?.t !== "record" || line.entry === undefined) throw new Error(`no entry at byte ${span.offset}`);
  return line.entry;
}
