/** Session rows: making, listing and deleting sessions. A list reads one range and no logs. */
import { initialMeta, type SessionInfo } from "@/protocol/mod.ts";
import { deleteRange } from "@/lib/kv/delete.ts";
import { keys } from "@/lib/kv/keys.ts";
import { encodeJson } from "@/lib/kv/packed.ts";
import { SharedReads } from "@/lib/kv/shared_reads.ts";
import { SessionExistsError } from "./errors.ts";
import {
  type DeletedRow,
  emptyHead,
  endOf,
  type HeadRow,
  type ListedRows,
  type MetaRow,
  type OwnerRow,
  type SeenRow,
  sessionInfoOf,
  type StaticRow,
} from "./rows.ts";
import { runnerNames } from "./runners.ts";
import type { IsLive, StoreContext } from "./store.ts";
import type { SessionListStore } from "./types.ts";

/** How long a deleted session's host is kept from bringing it back, and its runner is told to remove what it keeps. */
export const tombstoneMs = 365 * 24 * 60 * 60 * 1000;

/** Key of the tombstone of a session: by hash, so that deleting removes every trace of the id. */
export async function deletedKey(sessionId: string): Promise<Deno.KvKey> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(sessionId));
  return keys.deletedSession(new Uint8Array(hash).toHex());
}

export class KvListStore implements SessionListStore {
  #context: StoreContext;
  /** By user. All runners of a user register at once after a restart of the hub, and each asks for its sessions. */
  #unended: SharedReads<Map<string, string[]>>;
  /** By user and session, with a space between them, which ids do not hold. */
  #infos: SharedReads<SessionInfo | null>;

  constructor(context: StoreContext) {
    this.#context = context;
    this.#unended = new SharedReads((userId) => this.#readUnended(userId));
    this.#infos = new SharedReads((key) => {
      const [userId, sessionId] = key.split(" ") as [string, string];
      return this.#readInfo(userId, sessionId);
    });
  }

  /** See SessionListStore.create. Rejects with SessionExistsError when the id is taken. */
  async create(userId: string, session: Parameters<SessionListStore["create"]>[1]): Promise<void> {
    const { kv, now } = this.#context;
    const { sessionId, ...given } = session;
    const row: StaticRow = { ...given, startedAt: now(), parentSessionId: null };
    const meta: MetaRow = { epoch: 0, seq: 0, meta: initialMeta() };
    const owner = keys.session.owner(sessionId);
    const result = await kv.atomic()
      .check({ key: owner, versionstamp: null })
      .set(owner, { userId, producerEpoch: 0 } satisfies OwnerRow)
      .set(keys.list.static(userId, sessionId), row)
      .set(keys.list.head(userId, sessionId), emptyHead(null, 0))
      .set(keys.session.meta(sessionId), encodeJson(meta))
      .delete(await deletedKey(sessionId))
      .commit();
    if (!result.ok) throw new SessionExistsError(`the session id ${sessionId} is taken; make a new one`);
  }

  info(userId: string, sessionId: string): Promise<SessionInfo | null> {
    return this.#infos.get(`${userId} ${sessionId}`);
  }

  async #readInfo(userId: string, sessionId: string): Promise<SessionInfo | null> {
    const rows = (await this.#read(keys.list.session(userId, sessionId))).get(sessionId);
    if (!rows?.static) return null;
    const isLive = await this.#context.liveness();
    this.#forgetDeadViewers(userId, sessionId, rows, isLive);
    const { runnerId } = rows.static;
    const names = await runnerNames(this.#context.kv, userId, runnerId === null ? [] : [runnerId]);
    return sessionInfoOf(sessionId, rows, isLive, runnerId === null ? null : names.get(runnerId) ?? null);
  }

  async list(userId: string): Promise<SessionInfo[]> {
    const sessions = await this.#read(keys.list.user(userId));
    const isLive = await this.#context.liveness();
    const runnerIds = new Set<string>();
    for (const rows of sessions.values()) if (rows.static?.runnerId) runnerIds.add(rows.static.runnerId);
    const names = await runnerNames(this.#context.kv, userId, [...runnerIds]);
    const infos: SessionInfo[] = [];
    for (const [sessionId, rows] of sessions) {
      this.#forgetDeadViewers(userId, sessionId, rows, isLive);
      const runnerId = rows.static?.runnerId ?? null;
      const info = sessionInfoOf(sessionId, rows, isLive, runnerId === null ? null : names.get(runnerId) ?? null);
      if (info) infos.push(info);
    }
    return infos.sort((a, b) => b.lastActivityAt - a.lastActivityAt);
  }

  /** Ids of the sessions that have not ended, by runner. */
  unendedByRunner(userId: string): Promise<ReadonlyMap<string, readonly string[]>> {
    return this.#unended.get(userId);
  }

  async #readUnended(userId: string): Promise<Map<string, string[]>> {
    const sessions = await this.#read(keys.list.user(userId));
    const isLive = await this.#context.liveness();
    const byRunner = new Map<string, string[]>();
    for (const [sessionId, rows] of sessions) {
      const runnerId = rows.static?.runnerId;
      const isActive = rows.producer?.isolateId != null && isLive(rows.producer.isolateId);
      if (!runnerId || endOf(rows, isActive) !== null) continue;
      const ids = byRunner.get(runnerId);
      if (ids) ids.push(sessionId);
      else byRunner.set(runnerId, [sessionId]);
    }
    return byRunner;
  }

  async delete(userId: string, sessionId: string): Promise<boolean> {
    const { kv, now } = this.#context;
    const ownerKey = keys.session.owner(sessionId);
    const tombstone = await deletedKey(sessionId);
    for (;;) {
      const headKey = keys.list.head(userId, sessionId);
      const [owner, head] = await kv.getMany<[OwnerRow, HeadRow]>([ownerKey, headKey]);
      if (!owner.value || owner.value.userId !== userId) return false;
      // From here on every commit of its producer fails its fence, registrations are refused and it is in no list.
      const atomic = kv.atomic();
      if (head.value !== null) atomic.set(headKey, head.value);
      const result = await atomic
        .check(owner)
        .set(ownerKey, { ...owner.value, isDeleting: true } satisfies OwnerRow)
        .set(tombstone, { at: now() } satisfies DeletedRow, { expireIn: tombstoneMs })
        .delete(keys.list.static(userId, sessionId))
        .commit();
      if (result.ok) break;
    }
    await this.#removeRows(userId, sessionId);
    return true;
  }

  async forget(userId: string, sessionId: string, ownerVersion: string): Promise<boolean> {
    const { kv } = this.#context;
    const ownerKey = keys.session.owner(sessionId);
    const headKey = keys.list.head(userId, sessionId);
    const [{ value }, head] = await kv.getMany<[OwnerRow, HeadRow]>([ownerKey, headKey]);
    if (value?.userId !== userId) return false;
    const atomic = kv.atomic();
    if (head.value !== null) atomic.set(headKey, head.value);
    const result = await atomic
      .check({ key: ownerKey, versionstamp: ownerVersion })
      .set(ownerKey, { ...value, isDeleting: true } satisfies OwnerRow)
      .delete(keys.list.static(userId, sessionId))
      .commit();
    if (result.ok) await this.#removeRows(userId, sessionId);
    return result.ok;
  }

  async finishDeletion(userId: string, sessionId: string): Promise<boolean> {
    const { kv } = this.#context;
    const [owner, fixed] = await kv.getMany<[OwnerRow, StaticRow]>([
      keys.session.owner(sessionId),
      keys.list.static(userId, sessionId),
    ]);
    if (fixed.value !== null || (owner.value !== null && !owner.value.isDeleting)) return false;
    await this.#removeRows(userId, sessionId);
    return true;
  }

  async deletedOf(sessionIds: readonly string[]): Promise<string[]> {
    const tombstones = await Promise.all(sessionIds.map(deletedKey));
    const deleted: string[] = [];
    for (let at = 0; at < tombstones.length; at += 10) {
      const rows = await this.#context.kv.getMany<DeletedRow[]>(tombstones.slice(at, at + 10));
      for (const [offset, { value }] of rows.entries()) if (value !== null) deleted.push(sessionIds[at + offset]!);
    }
    return deleted;
  }

  /**
   * Removes every row of a session whose owner row says `isDeleting`, that row last and with what lists hold of it: a deletion
   * that is cut short anywhere can be asked for again, and the sweep finds it by its rows in the list.
   */
  async #removeRows(userId: string, sessionId: string): Promise<void> {
    const { kv } = this.#context;
    const ownerKey = keys.session.owner(sessionId);
    await deleteRange(kv, { prefix: keys.session.all(sessionId), end: ownerKey });
    for (;;) {
      const owner = await kv.get<OwnerRow>(ownerKey);
      // Gone: another isolate was faster, and the session may even have begun anew.
      if (owner.value !== null && !owner.value.isDeleting) return;
      const atomic = kv.atomic().check(owner).delete(ownerKey);
      let rows = 0;
      const prefix = keys.list.session(userId, sessionId);
      for await (const { key } of kv.list({ prefix }, { limit: 500 })) {
        atomic.delete(key);
        rows++;
      }
      if ((await atomic.commit()).ok && rows < 500) return;
    }
  }

  async markSeen(userId: string, sessionId: string, seq: number): Promise<void> {
    const { kv } = this.#context;
    const [fixed, head, seen] = await kv.getMany<[StaticRow, HeadRow, SeenRow]>([
      keys.list.static(userId, sessionId),
      keys.list.head(userId, sessionId),
      keys.list.seen(userId, sessionId),
    ]);
    if (!fixed.value || !head.value) return;
    const { epoch, ackedSeq } = head.value;
    const row: SeenRow = { epoch, seq: Math.min(seq, ackedSeq) };
    if (seen.value && seen.value.epoch === epoch && seen.value.seq >= row.seq) return;
    // When another device of the user was faster, or the session was deleted, there is nothing to add.
    await kv.atomic().check(fixed, seen).set(keys.list.seen(userId, sessionId), row).commit();
  }

  async setViewers(userId: string, sessionId: string, isolateId: string, count: number): Promise<void> {
    const { kv } = this.#context;
    const key = keys.list.viewers(userId, sessionId, isolateId);
    if (count === 0) return await kv.delete(key);
    for (;;) {
      const fixed = await kv.get<StaticRow>(keys.list.static(userId, sessionId));
      if (!fixed.value) return;
      // A registration rewrites the static row: try again; a deletion removes it: done.
      if ((await kv.atomic().check(fixed).set(key, count).commit()).ok) return;
    }
  }

  async #read(prefix: Deno.KvKey): Promise<Map<string, ListedRows>> {
    return await readListed(this.#context.kv, prefix);
  }

  /** Removes the counts that dead isolates left behind. */
  #forgetDeadViewers(userId: string, sessionId: string, rows: ListedRows, isLive: IsLive): void {
    for (const isolateId of rows.viewers.keys()) {
      if (isLive(isolateId)) continue;
      this.#context.inBackground(this.#context.kv.delete(keys.list.viewers(userId, sessionId, isolateId)));
    }
  }
}

/** What lists hold of the sessions under `prefix` (of a user, or of one session), by session id. */
export async function readListed(kv: Deno.Kv, prefix: Deno.KvKey): Promise<Map<string, ListedRows>> {
  const sessions = new Map<string, ListedRows>();
  for await (const { key, value } of kv.list<unknown>({ prefix }, { batchSize: 500 })) {
    const sessionId = key[2] as string;
    let rows = sessions.get(sessionId);
    if (!rows) sessions.set(sessionId, rows = { viewers: new Map() });
    if (key[3] === "viewers") rows.viewers.set(key[4] as string, value as number);
    else Object.assign(rows, { [key[3] as string]: value });
  }
  return sessions;
}
