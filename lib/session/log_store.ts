/** SessionLogStore over Deno KV: registrations and their fences, and one LogWriter for each live producer. */
import { type Event, initialMeta, type Register, type SessionEnd } from "@/protocol/mod.ts";
import { deleteRange } from "@/lib/kv/delete.ts";
import { keys } from "@/lib/kv/keys.ts";
import { type BlobRef, decodeJson, encodeJson, unpack } from "@/lib/kv/packed.ts";
import { CheckFailedError } from "@/lib/kv/writer.ts";
import { LogReader } from "./log_reader.ts";
import { LogWriter } from "./log_writer.ts";
import {
  emptyHead,
  type EndRow,
  type HeadRow,
  type MetaRow,
  type OwnerRow,
  type ProducerRow,
  staticOf,
  summaryOf,
  type SummaryRow,
} from "./rows.ts";
import type { StoreContext } from "./store.ts";
import { deletedKey } from "./session_list.ts";
import { type ProducerLease, type RegisterResult, type SessionLogStore, StaleEpochError } from "./types.ts";

/** How often a registration or end is tried against concurrent ones of the same session. */
const maxAttempts = 20;

export class KvLogStore implements SessionLogStore {
  #context: StoreContext;
  #reader: LogReader;
  #writers = new WeakMap<ProducerLease, LogWriter>();

  constructor(context: StoreContext) {
    this.#context = context;
    this.#reader = new LogReader(context.kv);
  }

  async register(userId: string, isolateId: string, register: Register): Promise<RegisterResult> {
    const { kv, now } = this.#context;
    const { sessionId } = register;
    const notFound: RegisterResult = { ok: false, code: "not_found", message: `there is no session ${sessionId}` };
    const tombstone = await deletedKey(sessionId);
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [owner, deleted, head, metaRow, summary] = await kv.getMany<
        [OwnerRow, true, HeadRow, Uint8Array | BlobRef, SummaryRow]
      >([
        keys.session.owner(sessionId),
        tombstone,
        keys.list.head(userId, sessionId),
        keys.session.meta(sessionId),
        keys.list.summary(userId, sessionId),
      ]);
      if (deleted.value || owner.value?.isDeleting) {
        return { ok: false, code: "not_found", message: `the session ${sessionId} was deleted` };
      }
      if (owner.value && owner.value.userId !== userId) return notFound;
      const producerEpoch = (owner.value?.producerEpoch ?? 0) + 1;
      const continues = head.value !== null && head.value.logId === register.logId;
      const nextHead = continues ? head.value! : emptyHead(register.logId, producerEpoch);
      let meta: MetaRow = { epoch: producerEpoch, seq: 0, meta: initialMeta() };
      if (continues && metaRow.value) {
        const { epoch } = nextHead;
        const bytes = await unpack(kv, metaRow.value, (blob, part) => keys.session.blob(sessionId, epoch, blob, part));
        if (bytes === null) continue; // replaced meanwhile
        meta = decodeJson<MetaRow>(bytes);
      }
      const producer: ProducerRow = { producerEpoch, isolateId, at: now() };
      const mutations: Deno.KvMutation[] = [
        setting(keys.session.owner(sessionId), { userId, producerEpoch } satisfies OwnerRow),
        setting(keys.list.static(userId, sessionId), staticOf(register)),
        setting(keys.list.producer(userId, sessionId), producer),
      ];
      if (register.ended) {
        const row: EndRow = { producerEpoch, isOwnWord: true, end: register.ended };
        mutations.push(setting(keys.list.end(userId, sessionId), row));
      }
      // Rewritten even when it stays what it is: an older producer's next commit checks it, and must fail.
      mutations.push(setting(keys.list.head(userId, sessionId), nextHead));
      if (!continues) {
        // Until the new log has said what it is, lists keep the name and time that they had.
        const listed: SummaryRow = { ...(summary.value ?? summaryOf(meta.meta)), ended: null };
        mutations.push(
          setting(keys.session.meta(sessionId), encodeJson(meta)),
          setting(keys.list.summary(userId, sessionId), listed),
        );
      }
      // The head is checked, too: an older producer's commit may land between the read and this fence. Through the writer,
      // because after a restart of the hub all producers register at once.
      const checks = [owner, head].map(({ key, versionstamp }) => ({ key, versionstamp }));
      const fence = await this.#context.writer.write({ checks, mutations }).catch(unlessOvertaken);
      if (fence === null) continue;
      const { epoch, ackedSeq } = nextHead;
      const lease: ProducerLease = { sessionId, userId, producerEpoch, epoch, ackedSeq };
      const metaBlob = continues && metaRow.value && !(metaRow.value instanceof Uint8Array) ? metaRow.value : null;
      this.#writers.set(
        lease,
        new LogWriter(kv, this.#context.writer, lease, {
          userId,
          sessionId,
          producerEpoch,
          fence,
          head: nextHead,
          headVersion: fence,
          meta,
          metaBlob,
          retentionBytes: this.#context.retentionBytes,
        }),
      );
      // What older logs left is unreachable now; remove it without keeping the host waiting.
      this.#context.inBackground(
        deleteRange(kv, { start: keys.session.log(sessionId, 0), end: keys.session.log(sessionId, epoch) }),
      );
      return { ok: true, lease };
    }
    throw new Error(`session ${sessionId}: ${maxAttempts} registrations in a row were overtaken by others`);
  }

  commit(lease: ProducerLease, events: readonly Event[]): Promise<number> {
    return this.#writer(lease).commit(events);
  }

  #writer(lease: ProducerLease): LogWriter {
    const writer = this.#writers.get(lease);
    if (!writer) throw new TypeError("commit and release take the very lease that register of this store gave");
    return writer;
  }

  async release(lease: ProducerLease): Promise<void> {
    const { now } = this.#context;
    const writer = this.#writer(lease);
    await writer.settled();
    const producer: ProducerRow = { producerEpoch: lease.producerEpoch, isolateId: null, at: now() };
    // A failed check means that a newer registration holds the session: exactly then there is nothing to do.
    const mutations = [setting(keys.list.producer(lease.userId, lease.sessionId), producer)];
    await this.#context.writer.write({ checks: [writer.fence], mutations }).catch(unlessOvertaken);
  }

  async producerIsolate(sessionId: string): Promise<string | null> {
    const userId = await this.#reader.owner(sessionId);
    if (userId === null) return null;
    const { value } = await this.#context.kv.get<ProducerRow>(keys.list.producer(userId, sessionId));
    if (value === null || value.isolateId === null) return null;
    const isLive = await this.#context.liveness();
    return isLive(value.isolateId) ? value.isolateId : null;
  }

  async end(userId: string, sessionId: string, end: SessionEnd, producerEpoch?: number): Promise<void> {
    const { kv } = this.#context;
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [owner, earlier, summary] = await kv.getMany<[OwnerRow, EndRow, SummaryRow]>([
        keys.session.owner(sessionId),
        keys.list.end(userId, sessionId),
        keys.list.summary(userId, sessionId),
      ]);
      if (!owner.value || owner.value.isDeleting || owner.value.userId !== userId) return;
      const current = owner.value.producerEpoch;
      if (producerEpoch !== undefined && producerEpoch < current) return;
      if (summary.value?.ended || earlier.value?.producerEpoch === current) return;
      const row: EndRow = { producerEpoch: current, isOwnWord: producerEpoch !== undefined, end };
      const result = await kv.atomic().check(owner, earlier).set(keys.list.end(userId, sessionId), row).commit();
      if (result.ok) return;
    }
    throw new StaleEpochError(`session ${sessionId}: ${maxAttempts} attempts to end it were overtaken by others`);
  }

  async head(sessionId: string) {
    const head = await this.#reader.head(sessionId);
    if (head === null) return null;
    const { epoch, ackedSeq, oldestIndex, nextIndex, trimmedSeq } = head;
    return { epoch, ackedSeq, oldestIndex, nextIndex, trimmedSeq };
  }

  async meta(sessionId: string) {
    const { row } = await this.#reader.headAndMeta(sessionId);
    return { seq: row.seq, meta: row.meta };
  }

  lastPage(sessionId: string) {
    return this.#reader.lastPage(sessionId);
  }

  page(sessionId: string, before: number, limit: number) {
    return this.#reader.page(sessionId, before, limit);
  }

  changes(sessionId: string, seq: number) {
    return this.#reader.changes(sessionId, seq);
  }
}

function setting(key: Deno.KvKey, value: unknown): Deno.KvMutation {
  return { type: "set", key, value };
}

/** Turns a failed check into null and throws everything else. */
function unlessOvertaken(error: unknown): null {
  if (error instanceof CheckFailedError) return null;
  throw error;
}
