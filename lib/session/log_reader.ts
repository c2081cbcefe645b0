/** Reads logs. Cost is proportional to what is returned: pages by index, changes by seq. */
import { type Cursor, type Entry, limits, type SessionMeta } from "@/protocol/mod.ts";
import { keys } from "@/lib/kv/keys.ts";
import { type BlobRef, decodeJson, readPacked, unpack } from "@/lib/kv/packed.ts";
import { SharedReads } from "@/lib/kv/shared_reads.ts";
import { SessionNotFoundError } from "./errors.ts";
import type { HeadRow, MetaRow, OwnerRow, PackedEntry } from "./rows.ts";

/** Owners that a reader remembers; an owner never changes while the session exists. */
const knownOwners = 10_000;
/** Indexes that lie this near are read as one range. */
const rangeGap = 8;

interface LastPage {
  cursor: Cursor;
  meta: SessionMeta;
  entries: Entry[];
  oldestIndex: number;
}

export class LogReader {
  #kv: Deno.Kv;
  #owners = new Map<string, string>();
  /** By session. When a hub comes back, all viewers of a session attach at once. */
  #lastPages: SharedReads<LastPage>;

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
    this.#lastPages = new SharedReads((sessionId) => this.#readLastPage(sessionId));
  }

  /** The owner's user id; null when there is no such session. */
  async owner(sessionId: string): Promise<string | null> {
    const known = this.#owners.get(sessionId);
    if (known !== undefined) return known;
    const { value } = await this.#kv.get<OwnerRow>(keys.session.owner(sessionId));
    if (value === null || value.isDeleting) return null;
    if (this.#owners.size >= knownOwners) this.#owners.delete(this.#owners.keys().next().value!);
    this.#owners.set(sessionId, value.userId);
    return value.userId;
  }

  /** The head, or null when there is no such session. */
  async head(sessionId: string): Promise<HeadRow | null> {
    // A remembered owner may be one of before a deletion: forget it and look once more.
    for (let attempt = 0; attempt < 2; attempt++) {
      const userId = await this.owner(sessionId);
      if (userId === null) return null;
      const { value } = await this.#kv.get<HeadRow>(keys.list.head(userId, sessionId));
      if (value !== null) return value;
      this.#owners.delete(sessionId);
    }
    return null;
  }

  /** Head and meta of one moment. */
  async headAndMeta(sessionId: string): Promise<{ head: HeadRow; row: MetaRow }> {
    for (let attempt = 0; attempt < 5; attempt++) {
      const userId = await this.owner(sessionId);
      if (userId === null) throw new SessionNotFoundError(sessionId);
      const [head, meta] = await this.#kv.getMany<[HeadRow, Uint8Array | BlobRef]>([
        keys.list.head(userId, sessionId),
        keys.session.meta(sessionId),
      ]);
      if (head.value === null || meta.value === null) {
        this.#owners.delete(sessionId);
        continue;
      }
      const { epoch } = head.value;
      const bytes = await unpack(this.#kv, meta.value, (blob, part) => keys.session.blob(sessionId, epoch, blob, part));
      if (bytes) return { head: head.value, row: decodeJson<MetaRow>(bytes) };
    }
    throw new SessionNotFoundError(sessionId);
  }

  /** Shared by all who ask at once: do not change it. */
  lastPage(sessionId: string): Promise<LastPage> {
    return this.#lastPages.get(sessionId);
  }

  async #readLastPage(sessionId: string): Promise<LastPage> {
    const { head, row } = await this.headAndMeta(sessionId);
    const { entries } = await this.#readPage(sessionId, head, Number.MAX_SAFE_INTEGER, limits.pageEntries);
    return {
      cursor: { epoch: head.epoch, seq: head.ackedSeq },
      meta: row.meta,
      entries,
      oldestIndex: head.oldestIndex,
    };
  }

  async page(
    sessionId: string,
    before: number,
    limit: number,
  ): Promise<{ entries: Entry[]; hasMore: boolean; oldestIndex: number }> {
    const head = await this.head(sessionId);
    if (head === null) throw new SessionNotFoundError(sessionId);
    const { entries, hasMore } = await this.#readPage(sessionId, head, before, limit);
    return { entries, hasMore, oldestIndex: head.oldestIndex };
  }

  /** Entries below `before`, newest first from KV, ascending in the answer; at least one when there is any. */
  async #readPage(
    sessionId: string,
    head: HeadRow,
    before: number,
    limit: number,
  ): Promise<{ entries: Entry[]; hasMore: boolean }> {
    const wanted = Math.min(limit, limits.pageEntries);
    if (wanted <= 0 || before <= head.oldestIndex) return { entries: [], hasMore: false };
    const rows: { key: Deno.KvKey; value: PackedEntry }[] = [];
    let bytes = 0;
    let hasMore = false;
    const selector = {
      start: keys.session.entry(sessionId, head.epoch, head.oldestIndex),
      end: keys.session.entry(sessionId, head.epoch, before),
    };
    const average = head.bytes / Math.max(1, head.nextIndex - head.oldestIndex);
    const batchSize = Math.max(4, Math.min(wanted + 1, Math.ceil(limits.pageBytes / Math.max(1, average)) + 1));
    for await (
      const { key, value } of this.#kv.list<PackedEntry>(selector, { reverse: true, limit: wanted + 1, batchSize })
    ) {
      const size = value instanceof Uint8Array ? value.length : value.bytes;
      if (rows.length === wanted || (rows.length > 0 && bytes + size > limits.pageBytes)) {
        hasMore = true;
        break;
      }
      bytes += size;
      rows.push({ key, value });
    }
    const entries = await Promise.all(
      rows.map(({ key, value }) =>
        value instanceof Uint8Array ? decodeJson<Entry>(value) : this.#large(sessionId, key)
      ),
    );
    // null: a large entry of a log that is being removed.
    return { entries: entries.filter((entry) => entry !== null).reverse(), hasMore };
  }

  #large(sessionId: string, key: Deno.KvKey): Promise<Entry | null> {
    const epoch = key[3] as number;
    return readPacked<Entry>(this.#kv, key, (blob, part) => keys.session.blob(sessionId, epoch, blob, part));
  }

  /** See SessionLogStore.changes. */
  async changes(
    sessionId: string,
    seq: number,
  ): Promise<{ cursor: Cursor; meta: SessionMeta | null; entries: Entry[]; more: boolean; trimmedSeq: number }> {
    const { head, row } = await this.headAndMeta(sessionId);
    const { epoch } = head;
    let { trimmedSeq } = head;
    const cursor = { epoch, seq: head.ackedSeq };
    if (seq >= head.ackedSeq) return { cursor, meta: null, entries: [], more: false, trimmedSeq };
    const indexes: { index: number; seq: number }[] = [];
    const selector = {
      start: keys.session.seq(sessionId, epoch, seq + 1),
      end: keys.session.seq(sessionId, epoch, head.ackedSeq + 1),
    };
    const limit = limits.pageEntries + 1;
    for await (const { key, value } of this.#kv.list<number>(selector, { limit, batchSize: limit })) {
      indexes.push({ index: value, seq: key[5] as number });
    }
    let more = indexes.length > limits.pageEntries;
    if (more) indexes.pop();
    const found = await this.#rowsAt(sessionId, epoch, indexes.map(({ index }) => index));
    // An entry that changed again since the index was read is left out: it comes with its new seq, later or live.
    let cursorSeq = more ? indexes.at(-1)!.seq : head.ackedSeq;
    const entries: Entry[] = [];
    let bytes = 0;
    for (const { index, seq: indexedSeq } of indexes) {
      const value = found.get(index);
      if (!value) {
        // Trimmed since the index was read.
        trimmedSeq = Math.max(trimmedSeq, indexedSeq);
        continue;
      }
      const size = value instanceof Uint8Array ? value.length : value.bytes;
      if (entries.length > 0 && bytes + size > limits.pageBytes) {
        more = true;
        cursorSeq = indexedSeq - 1;
        break;
      }
      const entry = value instanceof Uint8Array
        ? decodeJson<Entry>(value)
        : await this.#large(sessionId, keys.session.entry(sessionId, epoch, index));
      if (entry === null || entry.seq !== indexedSeq) continue;
      bytes += size;
      entries.push(entry);
    }
    const meta = row.seq > seq && row.seq <= cursorSeq ? row.meta : null;
    return { cursor: { epoch, seq: cursorSeq }, meta, entries, more, trimmedSeq };
  }

  /** Entry rows by index: neighbours as ranges, so that catching up costs what paging does. */
  async #rowsAt(sessionId: string, epoch: number, indexes: readonly number[]): Promise<Map<number, PackedEntry>> {
    const wanted = new Set(indexes);
    const sorted = [...wanted].sort((a, b) => a - b);
    const found = new Map<number, PackedEntry>();
    const reads: Promise<void>[] = [];
    let from = 0;
    while (from < sorted.length) {
      let to = from;
      while (to + 1 < sorted.length && sorted[to + 1]! - sorted[to]! <= rangeGap) to++;
      const selector = {
        start: keys.session.entry(sessionId, epoch, sorted[from]!),
        end: keys.session.entry(sessionId, epoch, sorted[to]! + 1),
      };
      const batchSize = Math.min(100, sorted[to]! - sorted[from]! + 1);
      reads.push((async () => {
        for await (const { key, value } of this.#kv.list<PackedEntry>(selector, { batchSize })) {
          const index = key[5] as number;
          if (wanted.has(index)) found.set(index, value);
        }
      })());
      from = to + 1;
    }
    await Promise.all(reads);
    return found;
  }
}
