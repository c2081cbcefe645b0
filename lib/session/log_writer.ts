/**
 * One producer's way into its log. Steady state costs no reads: the writer knows the head, the meta and what it needs of
 * the entries that it touched last (a few numbers each, `knownEntries` of them); an older entry is looked up when it
 * changes, which is rare (an agent works on its newest entries). Records that come while a commit is on its way wait and
 * are merged: an entry that changed ten times meanwhile is written once.
 */
import { type Entry, type Event, limits, patchMeta } from "@/protocol/mod.ts";
import { keys } from "@/lib/kv/keys.ts";
import { type BlobRef, decodeJson, dropBlob, encodeJson, pack, unpack } from "@/lib/kv/packed.ts";
import { CheckFailedError, type KvWriter } from "@/lib/kv/writer.ts";
import { EntryTooLargeError, IndexConflictError, LogGapError, LogQueueFullError } from "./errors.ts";
import type { EntryBlobRef, HeadRow, MetaRow, PackedEntry } from "./rows.ts";
import { summaryOf } from "./rows.ts";
import { newestPageStart, type StoredEntry, storedOf, trimStep, trimTo } from "./trim.ts";
import { type ProducerLease, StaleEpochError } from "./types.ts";

/** Entries that a writer remembers. */
const knownEntries = 256;
/** A commit of one session ends at whichever comes first, so that it always fits with its index into one KV commit. */
const sliceRecords = 120;
const sliceBytes = 384 * 1024;
/** … of which parts of replaced blobs. */
const sliceDeletes = 80;
/** Records that may wait in one session's writer: twice what a producer may have unacknowledged. */
const maxWaitingRecords = 2 * limits.unackedRecords;

/** How often a commit begins again because a sweep trimmed the log meanwhile. A sweep makes a few steps, never this many. */
const maxHeadMoves = 50;

interface Waiting {
  events: readonly Event[];
  resolve(ackedSeq: number): void;
  reject(error: unknown): void;
}

/** Everything that a registration knows of the log it continues. */
export interface LogWriterState {
  userId: string;
  sessionId: string;
  producerEpoch: number;
  /** Versionstamp of the owner row at the registration. */
  fence: string;
  head: HeadRow;
  /** Versionstamp of the head row: the registration wrote it. */
  headVersion: string;
  meta: MetaRow;
  /** Where the stored meta's parts are, when it is a large one. */
  metaBlob: BlobRef | null;
  /** Bytes of entries beyond which the oldest go. */
  retentionBytes: number;
}

/** A record, and the JSON of its entry as it is to be stored. */
interface Prepared {
  event: Event;
  json: Uint8Array<ArrayBuffer> | null;
}

interface Slice {
  head: HeadRow;
  meta: MetaRow;
  metaBlob: BlobRef | null;
  touched: Map<number, StoredEntry>;
  mutations: Deno.KvMutation[];
  parts: Deno.KvMutation[];
}

export class LogWriter {
  #kv: Deno.Kv;
  #writer: KvWriter;
  #lease: ProducerLease;
  #fence: Deno.AtomicCheck;
  #head: HeadRow;
  /**
   * Every commit checks it, and nothing else: a newer registration and a deletion write the head anew, and so does a sweep on
   * another isolate that trims the log (trim.ts). One check a commit, because KV takes few in one.
   */
  #headVersion: string;
  #meta: MetaRow;
  #metaBlob: BlobRef | null;
  #known = new Map<number, StoredEntry>();
  #waiting: Waiting[] = [];
  #waitingRecords = 0;
  /** Seq of the last record that was accepted into the queue. */
  #queuedSeq: number;
  #retentionBytes: number;
  #running: Promise<void> | null = null;
  /** A commit failed in a way that leaves open whether it was written: read the head again before the next. */
  #isUncertain = false;
  #reloading: Promise<void> | null = null;

  constructor(kv: Deno.Kv, writer: KvWriter, lease: ProducerLease, state: LogWriterState) {
    this.#kv = kv;
    this.#writer = writer;
    this.#lease = lease;
    this.#fence = { key: keys.session.owner(state.sessionId), versionstamp: state.fence };
    this.#head = state.head;
    this.#headVersion = state.headVersion;
    this.#meta = state.meta;
    this.#metaBlob = state.metaBlob;
    this.#queuedSeq = state.head.ackedSeq;
    this.#retentionBytes = state.retentionBytes;
  }

  /** The check that holds as long as no newer producer registered and the session was not deleted. */
  get fence(): Deno.AtomicCheck {
    return this.#fence;
  }

  /** See SessionLogStore.commit. Records that are committed already are skipped: after an error the caller cannot know. */
  async commit(events: readonly Event[]): Promise<number> {
    if (this.#isUncertain && this.#running === null) {
      await (this.#reloading ??= this.#reload().finally(() => this.#reloading = null));
    }
    const fresh = events.filter((event) => event.seq > this.#lease.ackedSeq);
    for (const [offset, event] of fresh.entries()) {
      const expected = this.#queuedSeq + 1 + offset;
      if (event.seq !== expected) {
        throw new LogGapError(
          `session ${this.#lease.sessionId}: expected record ${expected}, got ${event.seq}; send from ${
            this.#lease.ackedSeq + 1
          } on`,
        );
      }
      if (event.epoch !== this.#lease.epoch) {
        throw new StaleEpochError(
          `session ${this.#lease.sessionId}: record ${event.seq} is of epoch ${event.epoch}, the log's is ${this.#lease.epoch}`,
        );
      }
    }
    if (fresh.length === 0) return this.#lease.ackedSeq;
    if (this.#waitingRecords > 0 && this.#waitingRecords + fresh.length > maxWaitingRecords) {
      throw new LogQueueFullError(
        `session ${this.#lease.sessionId}: ${this.#waitingRecords} records wait for the database already; ` +
          `at most ${limits.unackedRecords} may be unacknowledged`,
      );
    }
    this.#queuedSeq += fresh.length;
    this.#waitingRecords += fresh.length;
    return await new Promise<number>((resolve, reject) => {
      this.#waiting.push({ events: fresh, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        await this.#commitWaiting();
        if (this.#head.bytes > this.#retentionBytes) await this.#trim();
      }
    } catch (error) {
      // What waits came after what failed, so none of it can follow on.
      for (const { reject } of this.#waiting.splice(0)) reject(error);
      this.#waitingRecords = 0;
      this.#queuedSeq = this.#lease.ackedSeq;
    } finally {
      this.#running = null;
    }
  }

  /** Commits everything that waits now, in as many slices as it needs. */
  async #commitWaiting(): Promise<void> {
    const callers = this.#waiting.slice();
    let { records, failure } = await this.#prepare(callers);
    try {
      for (let moves = 0; records.length > 0;) {
        await this.#lookUp(records.slice(0, sliceRecords).map(({ event }) => event));
        const { slice, count } = this.#build(records);
        if (await this.#write(slice)) records = records.slice(count);
        else if (++moves > maxHeadMoves) {
          throw new Error(`session ${this.#lease.sessionId}: its head was changed ${moves} times during one commit`);
        } else records = records.filter(({ event }) => event.seq > this.#head.ackedSeq);
      }
    } catch (error) {
      failure = error;
    }
    // Those whose records are all in have what they asked for; the first that has not takes the later ones along.
    for (const { events, resolve } of callers) {
      const lastSeq = events.at(-1)!.seq;
      if (lastSeq > this.#lease.ackedSeq) break;
      this.#waiting.shift();
      this.#waitingRecords -= events.length;
      resolve(lastSeq);
    }
    if (failure !== null) throw failure;
  }

  /** Encodes and checks the records, up to the first call that holds a wrong one: of that nothing may be written. */
  async #prepare(callers: readonly Waiting[]): Promise<{ records: Prepared[]; failure: unknown }> {
    const { sessionId } = this.#lease;
    const records: Prepared[] = [];
    const ids = new Map<number, string>();
    for (const { events } of callers) {
      const own: Prepared[] = [];
      try {
        await this.#lookUp(events);
        for (const event of events) {
          const { entry, seq } = event;
          // What was trimmed stays so: the newest version is in the runner's journal.
          if (!entry || entry.index < this.#head.oldestIndex) {
            own.push({ event, json: null });
            continue;
          }
          const storedId = ids.get(entry.index) ?? this.#known.get(entry.index)?.id;
          if (storedId !== undefined && storedId !== entry.id) {
            throw new IndexConflictError(
              `session ${sessionId}: record ${seq} puts entry ${entry.id} at index ${entry.index}, which holds ${storedId}`,
            );
          }
          ids.set(entry.index, entry.id);
          const json = encodeJson({ ...entry, seq } satisfies Entry);
          if (json.length > limits.entryBytes) {
            throw new EntryTooLargeError(
              `session ${sessionId}: entry ${entry.id} of record ${seq} is ${json.length} bytes of JSON; ` +
                `at most ${limits.entryBytes} are stored`,
            );
          }
          own.push({ event, json });
        }
      } catch (failure) {
        return { records, failure };
      }
      for (const record of own) records.push(record);
    }
    return { records, failure: null };
  }

  /** Reads what must be known of changed entries that are not remembered. */
  async #lookUp(events: readonly Event[]): Promise<void> {
    const missing = new Set<number>();
    for (const { entry } of events) {
      if (!entry || entry.index < this.#head.oldestIndex || entry.index >= this.#head.nextIndex) continue;
      if (!this.#known.has(entry.index)) missing.add(entry.index);
    }
    const indexes = [...missing];
    for (let at = 0; at < indexes.length; at += 10) {
      const rows = await this.#kv.getMany<PackedEntry[]>(
        indexes.slice(at, at + 10).map((index) => keys.session.entry(this.#lease.sessionId, this.#lease.epoch, index)),
      );
      for (const [offset, { value }] of rows.entries()) {
        if (value !== null) this.#known.set(indexes[at + offset]!, storedOf(value));
      }
    }
  }

  /** Builds the mutations for as many of the records as fit a slice, at least one. */
  #build(records: readonly Prepared[]): { slice: Slice; count: number } {
    const { sessionId, epoch, userId } = this.#lease;
    const head = { ...this.#head };
    let meta = this.#meta;
    let metaBlob = this.#metaBlob;
    /** Newest version of each entry in this slice. */
    const changed = new Map<number, { id: string; seq: number; json: Uint8Array<ArrayBuffer> }>();
    let bytes = 0;
    let deletes = 0;
    let count = 0;
    for (const { event, json } of records.slice(0, sliceRecords)) {
      if (event.entry && (!json || event.entry.index < head.oldestIndex)) {
        head.entrySeq = event.seq;
        head.trimmedSeq = event.seq;
      } else if (event.entry && json) {
        const { index, id } = event.entry;
        const oldParts = changed.has(index) ? 0 : this.#known.get(index)?.blob?.parts ?? 0;
        if (count > 0 && (bytes + json.length > sliceBytes || deletes + oldParts > sliceDeletes)) break;
        bytes += json.length;
        deletes += oldParts;
        changed.set(index, { id, seq: event.seq, json });
        head.nextIndex = Math.max(head.nextIndex, index + 1);
        head.entrySeq = event.seq;
      } else if (event.meta) {
        meta = { epoch, seq: event.seq, meta: patchMeta(meta.meta, event.meta) };
      }
      head.ackedSeq = event.seq;
      count++;
    }

    const touched = new Map<number, StoredEntry>();
    const mutations: Deno.KvMutation[] = [];
    const parts: Deno.KvMutation[] = [];
    const blobKey = (blob: string, part?: number) => keys.session.blob(sessionId, epoch, blob, part);
    for (const [index, { id, seq, json }] of changed) {
      const old = this.#known.get(index);
      const packed = pack(json, blobKey, index);
      const ref: EntryBlobRef | null = packed.ref && { ...packed.ref, id, seq };
      mutations.push(
        { type: "set", key: keys.session.entry(sessionId, epoch, index), value: ref ?? packed.value },
        { type: "set", key: keys.session.seq(sessionId, epoch, seq), value: index },
      );
      parts.push(...packed.parts);
      if (old) mutations.push({ type: "delete", key: keys.session.seq(sessionId, epoch, old.seq) });
      if (old?.blob) mutations.push(...dropBlob(old.blob, blobKey));
      head.bytes += json.length - (old?.bytes ?? 0);
      touched.set(index, { id, seq, bytes: json.length, blob: packed.ref });
    }
    if (meta !== this.#meta) {
      const packed = pack(encodeJson(meta), blobKey, "meta");
      mutations.push({ type: "set", key: keys.session.meta(sessionId), value: packed.value });
      parts.push(...packed.parts);
      if (this.#metaBlob) mutations.push(...dropBlob(this.#metaBlob, blobKey));
      metaBlob = packed.ref;
      const summary = summaryOf(meta.meta);
      if (JSON.stringify(summary) !== JSON.stringify(summaryOf(this.#meta.meta))) {
        mutations.push({ type: "set", key: keys.list.summary(userId, sessionId), value: summary });
      }
    }
    mutations.push({ type: "set", key: keys.list.head(userId, sessionId), value: head });
    return { slice: { head, meta, metaBlob, touched, mutations, parts }, count };
  }

  /** Removes the oldest entries, one bounded step, but never from the newest page. */
  async #trim(): Promise<void> {
    const { sessionId, userId } = this.#lease;
    const step = await trimStep(this.#kv, sessionId, this.#head, {
      toBytes: this.#retentionBytes * trimTo,
      keepFrom: await newestPageStart(this.#kv, sessionId, this.#head),
    });
    if (step === null) return;
    const mutations = [...step.deletes, {
      type: "set" as const,
      key: keys.list.head(userId, sessionId),
      value: step.head,
    }];
    await this.#write({
      head: step.head,
      meta: this.#meta,
      metaBlob: this.#metaBlob,
      touched: new Map(),
      mutations,
      parts: [],
    });
  }

  /**
   * False: a sweep trimmed the log meanwhile, nothing was written; the state has been read anew. Throws StaleEpochError when the
   * head was written by a newer registration or a deletion.
   */
  async #write(slice: Slice): Promise<boolean> {
    const { sessionId, userId } = this.#lease;
    const checks = [{ key: keys.list.head(userId, sessionId), versionstamp: this.#headVersion }];
    try {
      this.#headVersion = await this.#writer.write({ checks, mutations: slice.mutations, parts: slice.parts });
    } catch (error) {
      if (error instanceof CheckFailedError) {
        await this.#read();
        return false;
      }
      this.#isUncertain = true;
      throw error;
    }
    this.#head = slice.head;
    this.#meta = slice.meta;
    this.#metaBlob = slice.metaBlob;
    this.#lease.ackedSeq = slice.head.ackedSeq;
    for (const [index, stored] of slice.touched) {
      this.#known.delete(index);
      this.#known.set(index, stored);
    }
    for (const index of this.#known.keys()) {
      if (this.#known.size <= knownEntries) break;
      this.#known.delete(index);
    }
    return true;
  }

  async #reload(): Promise<void> {
    await this.#read();
    this.#queuedSeq = this.#head.ackedSeq;
    this.#isUncertain = false;
  }

  /** Reads what is stored. Throws StaleEpochError when a newer producer registered or the session was deleted. */
  async #read(): Promise<void> {
    const { sessionId, epoch, userId } = this.#lease;
    const [owner, head, meta] = await this.#kv.getMany<[unknown, HeadRow, Uint8Array | BlobRef]>([
      keys.session.owner(sessionId),
      keys.list.head(userId, sessionId),
      keys.session.meta(sessionId),
    ]);
    if (owner.versionstamp !== this.#fence.versionstamp || head.value === null || meta.value === null) {
      throw new StaleEpochError(
        `session ${sessionId}: a newer registration than ${this.#lease.producerEpoch} exists, or it was deleted`,
      );
    }
    const bytes = await unpack(this.#kv, meta.value, (blob, part) => keys.session.blob(sessionId, epoch, blob, part));
    if (bytes === null) throw new Error(`session ${sessionId}: its meta is incomplete`);
    this.#head = head.value;
    this.#headVersion = head.versionstamp;
    this.#meta = decodeJson<MetaRow>(bytes);
    this.#metaBlob = meta.value instanceof Uint8Array ? null : meta.value;
    this.#known.clear();
    this.#lease.ackedSeq = head.value.ackedSeq;
  }
}
