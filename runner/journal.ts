/**
 * A session's journal: an append-only file that is written before anything is sent (design §4).
 *
 * A change is in the file (write(2) has returned) when an append returns, so nothing that a viewer saw is lost when this process
 * dies, however it dies. It is on the disk (fdatasync) at most SYNC_MS later. A power cut in between may cost the journal its tail
 * while the hub has it already: the hub then knows a higher seq than the journal, and the log is begun anew (`restart`): a new
 * logId, entries renumbered, viewers get a snapshot. What the hub alone knew of those last milliseconds is then gone from its timeline
 * too; nothing is ever doubled or half applied.
 *
 * A torn last line is dropped. A damaged line in the middle is reported and left out; its record's seq is then missing, so if the hub
 * still needs it the log is begun anew as well.
 */
import type { SessionMeta, WireEntry } from "@/protocol/mod.ts";
import { readAllSync, readFullSync, writeAllSync, writeFileAtomic } from "./atomic_file.ts";
import { historyPage, type JournalPage } from "./history.ts";
import { asRecord, type EntryRef, JournalIndex, type LineSpan, streamText } from "./journal_index.ts";
import { decodeLine, decodeLineJson, encodeLine, JournalLine, lineJson } from "./journal_line.ts";

/** Longest time that a written change may wait for its fdatasync. */
export const SYNC_MS = 50;
/** A journal smaller than this is never compacted. */
export const COMPACT_MIN_BYTES = 8 * 1024 * 1024;
/** A journal this many times as large as what it must keep is compacted. */
export const COMPACT_FACTOR = 4;
/** Records held in memory for sending; older ones are read back from the file. */
const CACHE_BYTES = 4 * 1024 * 1024;

export interface JournalOptions {
  /** Called for damage found while opening, and for a failed fdatasync. */
  warn?: (message: string) => void;
  /** As COMPACT_MIN_BYTES; tests compact small files. */
  compactMinBytes?: number;
}

export class Journal {
  readonly index: JournalIndex;
  /** Which lines were damaged when the file was opened, one sentence each. A torn end is no damage: it is what a crash leaves. */
  readonly damage: readonly string[];
  readonly #path: string;
  readonly #options: JournalOptions;
  #file: Deno.FsFile;
  /** A handle of its own for fdatasync: Deno refuses synchronous calls on a handle while an asynchronous one runs. */
  #syncFile: Deno.FsFile;
  #bytes: number;
  /** At this size the next look is taken at how much of the file is still needed. */
  #measureAtBytes = 0;
  /** JSON of records as it stands in the file, without checksum. */
  readonly #cache = new Map<number, string>();
  #cacheBytes = 0;
  #syncTimer: ReturnType<typeof setTimeout> | null = null;
  #syncing: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(
    path: string,
    file: Deno.FsFile,
    bytes: number,
    index: JournalIndex,
    damage: string[],
    options: JournalOptions,
  ) {
    this.#path = path;
    this.#file = file;
    this.#syncFile = Deno.openSync(path, { read: true });
    this.#bytes = bytes;
    this.index = index;
    this.damage = damage;
    this.#options = options;
    this.#measureAtBytes = this.#compactMinBytes;
  }

  get #compactMinBytes(): number {
    return this.#options.compactMinBytes ?? COMPACT_MIN_BYTES;
  }

  /** Opens a journal, or begins one. The caller holds the session's lock. Throws when the file cannot be read or written. */
  static open(path: string, options: JournalOptions = {}): Journal {
    const file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
    try {
      const loaded = loadJournal(readAllSync(file));
      for (const message of loaded.damage) options.warn?.(`${path}: ${message}`);
      if (loaded.tornBytes > 0) options.warn?.(`${path}: ${loaded.tornBytes} bytes of a torn write were dropped`);
      file.truncateSync(loaded.keptBytes);
      file.seekSync(loaded.keptBytes, Deno.SeekMode.Start);
      const journal = new Journal(path, file, loaded.keptBytes, loaded.index, loaded.damage, options);
      if (loaded.keptBytes === 0) journal.append(header(loaded.index.logId, 0));
      else if (loaded.isWithoutHeader) journal.restart();
      return journal;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Size of the file. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Writes one line. When it returns the line is in the file; a failed write throws and changes nothing. */
  append(line: JournalLine): void {
    if (this.#isClosed) throw new Error(`the journal ${this.#path} is closed`);
    const json = lineJson(line);
    const bytes = encodeLine(json);
    try {
      writeAllSync(this.#file, bytes);
    } catch (error) {
      // A part may have been written: take it back, so that the next line starts on a line of its own.
      this.#file.truncateSync(this.#bytes);
      this.#file.seekSync(this.#bytes, Deno.SeekMode.Start);
      throw new Error(`cannot write the journal ${this.#path}: ${error instanceof Error ? error.message : error}`);
    }
    this.index.apply(line, { offset: this.#bytes, bytes: bytes.length });
    this.#bytes += bytes.length;
    if (line.t === "record") this.#remember(line.seq, withoutType(json));
    // What the hub has is only a hint: it says so itself at the next registration.
    if (line.t !== "acked") this.#scheduleSync();
  }

  /** Appends a record under the next seq and returns that. */
  appendRecord(record: { entry: WireEntry } | { meta: Partial<SessionMeta> }): number {
    const seq = this.index.lastSeq + 1;
    this.append({ t: "record", seq, ...record });
    return seq;
  }

  /** A record's `"seq":…,"entry":…` or `"seq":…,"meta":…`, ready to be put into an event. Throws when it is not there any more. */
  recordJson(seq: number): string {
    const cached = this.#cache.get(seq);
    if (cached !== undefined) return cached;
    const span = this.index.records.get(seq);
    if (!span) throw new Error(`the journal ${this.#path} has no record ${seq}`);
    const json = withoutType(this.#readJson(span));
    this.#remember(seq, json);
    return json;
  }

  #remember(seq: number, json: string): void {
    this.#cache.set(seq, json);
    this.#cacheBytes += json.length;
    for (const [oldest, text] of this.#cache) {
      if (this.#cacheBytes <= CACHE_BYTES) break;
      this.#cache.delete(oldest);
      this.#cacheBytes -= text.length;
    }
  }

  /** An entry as it stands, text appended since its last record included. */
  entry(id: string): WireEntry | undefined {
    const open = this.index.open.get(id);
    if (open) return open.entry;
    const ref = this.index.entries.get(id);
    return ref && this.#readEntry(ref);
  }

  /** A page of the timeline, each entry as of its last record; see historyPage. */
  history(before: number, limit: number): JournalPage {
    return historyPage(this.index.timeline(), (ref) => this.#readRecordEntry(ref), before, limit);
  }

  /** The hub has committed everything up to `seq`: those records will not be asked for again. Compacts when that pays. */
  acked(seq: number): void {
    if (seq <= this.index.ackedSeq) return;
    for (let next = this.index.ackedSeq + 1; next <= seq; next++) {
      this.#cacheBytes -= this.#cache.get(next)?.length ?? 0;
      this.#cache.delete(next);
    }
    this.append({ t: "acked", seq });
    if (this.#bytes >= this.#measureAtBytes && this.#isMostlyDead()) this.compact();
  }

  #isMostlyDead(): boolean {
    const liveBytes = this.#measureLive();
    this.#measureAtBytes = Math.max(this.#compactMinBytes, this.#bytes * 1.25, COMPACT_FACTOR * liveBytes);
    return this.#bytes > COMPACT_FACTOR * liveBytes;
  }

  /** Bytes that a compacted file would have, roughly. */
  #measureLive(): number {
    let bytes = JSON.stringify(this.index.meta).length;
    for (const ref of this.index.entries.values()) bytes += ref.span.bytes;
    for (const open of this.index.open.values()) bytes += JSON.stringify(open.entry.body).length;
    for (const span of this.index.records.values()) bytes += span.bytes;
    for (const prompt of this.index.queue.values()) bytes += JSON.stringify(prompt).length;
    return bytes + this.index.ops.size * 100;
  }

  /**
   * Rewrites the file with what it must keep: every record after the hub's ackedSeq as it is (the wire needs each seq), and of the
   * rest the latest version of each entry, under its own seq, and the meta as one line.
   */
  compact(): void {
    const { index } = this;
    const lines: JournalLine[] = [header(index.logId, index.lastSeq)];
    for (const ref of index.timeline()) {
      if (ref.seq <= index.ackedSeq) lines.push({ t: "record", seq: ref.seq, entry: this.#readRecordEntry(ref) });
    }
    const unacked = [...index.records.keys()].sort((a, b) => a - b);
    // The meta as of now is right at any position: patches that follow set fields to what they are, or are its own past.
    if (index.metaSeq > 0) lines.push({ t: "meta", seq: index.metaSeq, meta: index.meta });
    for (const seq of unacked) lines.push(this.#readLine(index.records.get(seq) as LineSpan));
    for (const { entry, recordTextLength } of index.open.values()) {
      const text = streamText(entry).slice(recordTextLength);
      if (text !== "") lines.push({ t: "text", entryId: entry.id, at: recordTextLength, text });
    }
    this.#rewrite([...lines, ...this.#sideLines(), { t: "acked", seq: index.ackedSeq }]);
  }

  /** Begins the log anew: a new logId, each entry's latest version and the meta numbered from 1, nothing acknowledged. */
  restart(): void {
    const { index } = this;
    const lines: JournalLine[] = [header(crypto.randomUUID(), 0)];
    let seq = 0;
    for (const ref of index.timeline()) {
      const entry = index.open.get(ref.id)?.entry ?? this.#readEntry(ref);
      if (entry) lines.push({ t: "record", seq: ++seq, entry: asRecord(entry) });
    }
    if (index.metaSeq > 0) lines.push({ t: "record", seq: ++seq, meta: index.meta });
    this.#rewrite([...lines, ...this.#sideLines()]);
  }

  #sideLines(): JournalLine[] {
    const { ops, facts, queue } = this.index;
    return [
      ...[...facts].map(([name, value]): JournalLine => ({ t: "fact", name, value })),
      ...[...queue.values()].map((prompt): JournalLine => ({ t: "queued", prompt })),
      ...[...ops].map(([op, outcome]): JournalLine => ({ t: "op", op, ...outcome })),
    ];
  }

  #rewrite(lines: JournalLine[]): void {
    const chunks = lines.map((line) => encodeLine(lineJson(line)));
    const data = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let offset = 0;
    for (const chunk of chunks) {
      data.set(chunk, offset);
      offset += chunk.length;
    }
    writeFileAtomic(this.#path, data);
    const oldSyncFile = this.#syncFile;
    this.#file.close();
    this.#syncFile = Deno.openSync(this.#path, { read: true });
    this.#file = Deno.openSync(this.#path, { read: true, write: true });
    this.#file.seekSync(data.length, Deno.SeekMode.Start);
    this.#bytes = data.length;
    this.#cache.clear();
    this.#cacheBytes = 0;
    this.index.reset();
    let at = 0;
    lines.forEach((line, i) => {
      const bytes = (chunks[i] as Uint8Array).length;
      this.index.apply(line, { offset: at, bytes });
      at += bytes;
    });
    this.#measureAtBytes = Math.max(this.#compactMinBytes, COMPACT_FACTOR * this.#bytes);
    // An fdatasync may be running on the old file.
    this.#syncing = this.#syncing.finally(() => oldSyncFile.close());
  }

  #readEntry(ref: EntryRef): WireEntry | undefined {
    const line = this.#readLine(ref.span);
    return line.t === "record" ? line.entry : undefined;
  }

  #readRecordEntry(ref: EntryRef): WireEntry {
    const entry = this.#readEntry(ref);
    if (!entry) throw new Error(`the journal ${this.#path} has no entry ${ref.id} at byte ${ref.span.offset}`);
    return entry;
  }

  /** Reads a line back. It was sound when the journal was opened or written, so damage here is the disk's, and thrown. */
  #readJson(span: LineSpan): string {
    const bytes = new Uint8Array(span.bytes - 1);
    this.#file.seekSync(span.offset, Deno.SeekMode.Start);
    try {
      readFullSync(this.#file, bytes);
    } finally {
      this.#file.seekSync(this.#bytes, Deno.SeekMode.Start);
    }
    const json = decodeLineJson(bytes);
    if (json === null) throw new Error(`the journal ${this.#path} is damaged at byte ${span.offset}`);
    return json;
  }

  #readLine(span: LineSpan): JournalLine {
    return JournalLine.parse(JSON.parse(this.#readJson(span)));
  }

  #scheduleSync(): void {
    if (this.#syncTimer !== null) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = null;
      this.#syncing = this.#syncing.then(() => this.#syncFile.syncData()).catch((error) => {
        if (!this.#isClosed) this.#options.warn?.(`fdatasync of ${this.#path} failed: ${error}`);
      });
    }, SYNC_MS);
  }

  /** Syncs what is written and closes the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    await this.#syncing;
    this.#file.syncDataSync();
    this.#file.close();
    this.#syncFile.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export interface LoadedJournal {
  index: JournalIndex;
  /** Bytes of the file up to the end of its last whole line; what follows is a torn write. */
  keptBytes: number;
  tornBytes: number;
  isWithoutHeader: boolean;
  damage: string[];
}

/** Reads a journal's bytes. Never throws: what cannot be used is left out and named in `damage`. Pure. */
export function loadJournal(bytes: Uint8Array): LoadedJournal {
  const index = new JournalIndex(crypto.randomUUID());
  const damage: string[] = [];
  let hasHeader = false;
  let offset = 0;
  for (let lineNumber = 1; offset < bytes.length; lineNumber++) {
    const end = bytes.indexOf(0x0a, offset);
    if (end === -1) break;
    const line = decodeLine(bytes.subarray(offset, end));
    if (line === null) damage.push(`line ${lineNumber} is damaged and was left out`);
    else {
      hasHeader ||= line.t === "header";
      index.apply(line, { offset, bytes: end + 1 - offset });
    }
    offset = end + 1;
  }
  const tornBytes = bytes.length - offset;
  return { index, keptBytes: offset, tornBytes, isWithoutHeader: offset > 0 && !hasHeader, damage };
}

/** `{"t":"record","seq":1,…}` without the braces and the type. */
function withoutType(json: string): string {
  return json.slice('{"t":"record",'.length, -1);
}

function header(logId: string, lastSeq: number): JournalLine {
  return { t: "header", version: 1, logId, lastSeq };
}
