/**
 * The retention sweep: enforces retention_policy.ts, and removes what crashes left behind. Every isolate runs it; a lease in KV lets
 * one at a time work, and frees itself when its holder dies. Each step is one commit that checks what it was made from, so a sweep
 * may stop anywhere, run twice, or meet a live producer: nothing is lost, and the next sweep finds what is left to do.
 */
import { deleteRange } from "@/lib/kv/delete.ts";
import { keys } from "@/lib/kv/keys.ts";
import { KvLease, type LeaseRow } from "@/lib/kv/lease.ts";
import type { Packed } from "@/lib/kv/packed.ts";
import { errorText, type Log } from "@/lib/log.ts";
import { removeOrphans } from "@/lib/session/orphans.ts";
import type { DeletedRow, HeadRow, ListedRows, OwnerRow, SweptRow } from "@/lib/session/rows.ts";
import { readListed, tombstoneMs } from "@/lib/session/session_list.ts";
import { newestPageStart, trimStep } from "@/lib/session/trim.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import { planRetention, type RetentionAction, type RetentionLimits, type SessionFacts } from "./retention_policy.ts";

/** How often an isolate looks whether a sweep is due. */
const LOOK_MS = 60_000;
/** How long after one pass over all users the next begins. */
const PASS_MS = 10 * 60_000;
const LEASE_MS = 60_000;
/** One run ends after so many trimming steps (each up to 200 entries) or sessions that were looked into; the next goes on. */
const MAX_STEPS = 500;
const MAX_SESSIONS = 500;
/** A log whose producer commits all the time is left alone after so many steps in a row that were overtaken; its writer trims it. */
const MAX_OVERTAKEN = 5;
/** Sessions whose leftovers are looked for at the same time. */
const PARALLEL = 8;

export interface RetentionOptions {
  kv: Deno.Kv;
  store: Pick<SessionStore, "sessions" | "inbox">;
  /** Who knows which isolates live. */
  mesh: { isolateId: string; isLive(isolateId: string): boolean };
  limits: RetentionLimits;
  log: Log;
  /** A session went from the hub because of its age. */
  onForgotten?: (userId: string, sessionId: string) => void;
  /** As LOOK_MS, PASS_MS, LEASE_MS, MAX_STEPS and MAX_SESSIONS. */
  lookMs?: number;
  passMs?: number;
  leaseMs?: number;
  maxSteps?: number;
  maxSessions?: number;
  /** Milliseconds since the Unix epoch. */
  now?: () => number;
}

/** What lies under keys.sweep.progress. */
interface SweepRow {
  /** The user that was swept last in this pass; null: the next run begins a pass. */
  afterUser: string | null;
  /** No run before this, in ms. */
  nextRunAtMs: number;
}

/** What one run did. */
export interface SweepReport {
  users: number;
  trimmedEntries: number;
  trimmedBytes: number;
  forgotten: number;
  /** Blobs without a row, and deletions that had been cut short. */
  leftovers: number;
  /** Whether the pass over all users was finished. */
  isPassDone: boolean;
}

export class Retention implements AsyncDisposable {
  readonly #options: RetentionOptions;
  readonly #now: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #isDisposed = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Sweeps from now on whenever it is due. */
  start(): void {
    // Isolates that started together do not look together.
    const delayMs = (this.#options.lookMs ?? LOOK_MS) * (0.5 + Math.random());
    this.#timer = setTimeout(() => {
      this.#running = this.sweep()
        .catch((error) => this.#options.log.warn("retention_failed", { error: errorText(error) }))
        .finally(() => {
          if (!this.#isDisposed) this.start();
        });
    }, delayMs);
  }

  /** One bounded run, if one is due and nobody else is at it; null otherwise. */
  async sweep(): Promise<SweepReport | null> {
    const { kv, mesh, log } = this.#options;
    const progress = await kv.get<SweepRow>(keys.sweep.progress());
    if (progress.value !== null && progress.value.nextRunAtMs > this.#now()) return null;
    const row = { isolateId: mesh.isolateId };
    const lease = new KvLease<LeaseRow & typeof row>(kv, keys.sweep.lease(), row, {
      leaseMs: this.#options.leaseMs ?? LEASE_MS,
      now: this.#now,
    });
    if (!await lease.tryAcquire()) return null;
    const run = new SweepRun(this.#options, this.#now, () => this.#isDisposed);
    const next = await run.work(progress.value?.afterUser ?? null, () => lease.renew());
    if (next !== null) {
      await kv.atomic().check(lease.check).set(keys.sweep.progress(), next satisfies SweepRow).commit();
      await lease.release();
    }
    const { report } = run;
    if (report.trimmedEntries + report.forgotten + report.leftovers > 0) log.info("retention_swept", { ...report });
    return report;
  }

  /** Stops after the step that is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}

/** One run of the sweep. */
class SweepRun {
  readonly report: SweepReport = {
    users: 0,
    trimmedEntries: 0,
    trimmedBytes: 0,
    forgotten: 0,
    leftovers: 0,
    isPassDone: false,
  };
  readonly #options: RetentionOptions;
  readonly #now: () => number;
  readonly #isStopped: () => boolean;
  #steps: number;
  #sessions: number;

  constructor(options: RetentionOptions, now: () => number, isStopped: () => boolean) {
    this.#options = options;
    this.#now = now;
    this.#isStopped = isStopped;
    this.#steps = options.maxSteps ?? MAX_STEPS;
    this.#sessions = options.maxSessions ?? MAX_SESSIONS;
  }

  get #isOver(): boolean {
    return this.#steps <= 0 || this.#sessions <= 0 || this.#isStopped();
  }

  /** Sweeps users until the bounds are reached; resolves with where the next run goes on, null when the lease was lost. */
  async work(afterUser: string | null, renew: () => Promise<boolean>): Promise<SweepRow | null> {
    try {
      return await this.#sweepUsers(afterUser, async () => {
        if (!await renew()) throw new LeaseLostError();
      });
    } catch (error) {
      if (error instanceof LeaseLostError) return null;
      throw error;
    }
  }

  async #sweepUsers(afterUser: string | null, renew: () => Promise<void>): Promise<SweepRow> {
    let last = afterUser;
    while (!this.#isOver) {
      const userId = await this.#userAfter(last);
      if (userId === null) {
        await this.#forgetTombstones();
        await this.#removeLostMailboxes();
        this.report.isPassDone = true;
        return { afterUser: null, nextRunAtMs: this.#now() + (this.#options.passMs ?? PASS_MS) };
      }
      await this.#sweepUser(userId, renew).catch((error) => {
        if (error instanceof LeaseLostError) throw error;
        // One user's rows must not keep the others from being swept.
        this.#options.log.warn("retention_failed", { userId, error: errorText(error) });
      });
      this.report.users++;
      last = userId;
      await renew();
    }
    return { afterUser: last, nextRunAtMs: this.#now() };
  }

  /** The next user in key order that has sessions or runners. */
  async #userAfter(userId: string | null): Promise<string | null> {
    let next: string | null = null;
    for (const kind of ["list", "runners"]) {
      const selector: Deno.KvListSelector = userId === null
        ? { prefix: [kind] }
        : { prefix: [kind], start: [kind, userId, true] };
      for await (const { key } of this.#options.kv.list(selector, { limit: 1 })) {
        const found = String(key[1]);
        if (next === null || found < next) next = found;
      }
    }
    return next;
  }

  async #sweepUser(userId: string, renew: () => Promise<void>): Promise<void> {
    const { kv, mesh, limits } = this.#options;
    const sessions = await readListed(kv, keys.list.user(userId));
    const facts: SessionFacts[] = [];
    for (const [sessionId, rows] of sessions) if (rows.static) facts.push(this.#factsOf(sessionId, rows));
    for (const action of planRetention(facts, limits, this.#now())) {
      if (this.#isOver) return;
      await this.#carryOut(userId, action);
      await renew();
    }
    const ids = [...sessions.keys()];
    for (let at = 0; at < ids.length && !this.#isOver; at += PARALLEL) {
      await Promise.all(
        ids.slice(at, at + PARALLEL).map((sessionId) => this.#clean(userId, sessionId, sessions.get(sessionId)!)),
      );
      await renew();
    }
    const runnerIds = new Set<string>();
    for await (const { key } of kv.list({ prefix: keys.runners.user(userId) })) runnerIds.add(String(key[2]));
    for (const runnerId of runnerIds) await this.#options.store.inbox.sweep(`runner:${runnerId}`);
    // Counts of viewers that dead isolates left.
    for (const [sessionId, { viewers }] of sessions) {
      for (const isolateId of viewers.keys()) {
        if (!mesh.isLive(isolateId)) await kv.delete(keys.list.viewers(userId, sessionId, isolateId));
      }
    }
  }

  #factsOf(sessionId: string, rows: ListedRows): SessionFacts {
    return {
      sessionId,
      bytes: rows.head?.bytes ?? 0,
      // The host's clock may be wrong; when its socket came or went is known by the hub's own.
      idleSinceMs: Math.max(
        Math.min(rows.summary?.lastActivityAt ?? 0, this.#now()),
        Math.min(rows.static?.startedAt ?? 0, this.#now()),
        rows.producer?.at ?? 0,
      ),
      isQuiet: this.#isQuiet(rows),
    };
  }

  #isQuiet({ producer }: ListedRows): boolean {
    return producer?.isolateId == null || !this.#options.mesh.isLive(producer.isolateId);
  }

  async #carryOut(userId: string, action: RetentionAction): Promise<void> {
    const { kv, store, onForgotten } = this.#options;
    const { sessionId } = action;
    if (action.do === "trim") return await this.#trim(userId, sessionId, action);
    const owner = await kv.get<OwnerRow>(keys.session.owner(sessionId));
    // Looked at again: a host may have registered since, and then it is not quiet.
    const rows = (await readListed(kv, keys.list.session(userId, sessionId))).get(sessionId);
    if (owner.value === null || rows === undefined || !this.#isQuiet(rows)) return;
    this.#steps--;
    if (!await store.sessions.forget(userId, sessionId, owner.versionstamp)) return;
    this.report.forgotten++;
    onForgotten?.(userId, sessionId);
  }

  async #trim(
    userId: string,
    sessionId: string,
    { toBytes, keeps }: { toBytes: number; keeps: "page" | "nothing" },
  ): Promise<void> {
    const { kv } = this.#options;
    const headKey = keys.list.head(userId, sessionId);
    let overtaken = 0;
    while (!this.#isOver && overtaken < MAX_OVERTAKEN) {
      const head = await kv.get<HeadRow>(headKey);
      if (head.value === null || head.value.bytes <= toBytes) return;
      const keepFrom = keeps === "page" ? await newestPageStart(kv, sessionId, head.value) : head.value.nextIndex;
      const step = await trimStep(kv, sessionId, head.value, { toBytes, keepFrom });
      if (step === null) return;
      const result = await kv.atomic().check(head).mutate(...step.deletes).set(headKey, step.head).commit();
      if (!result.ok) {
        overtaken++;
        continue;
      }
      overtaken = 0;
      this.#steps--;
      this.report.trimmedEntries += step.head.oldestIndex - head.value.oldestIndex;
      this.report.trimmedBytes += head.value.bytes - step.head.bytes;
    }
  }

  /** Removes what crashes and cut-short deletions left of a session, and what its inbox need not keep any more. */
  async #clean(userId: string, sessionId: string, rows: ListedRows): Promise<void> {
    const { kv, store } = this.#options;
    if (rows.static === undefined) {
      this.#sessions--;
      if (await store.sessions.finishDeletion(userId, sessionId)) this.report.leftovers++;
      return;
    }
    const producerEpoch = rows.producer?.producerEpoch ?? 0;
    const wasQuiet = this.#isQuiet(rows);
    const isLogClean = rows.swept?.producerEpoch === producerEpoch && (rows.swept.wasQuiet || !wasQuiet);
    const inboxHead = await kv.get<{ nextNo: number }>(keys.inbox.head("session", sessionId));
    const puts = (inboxHead.value?.nextNo ?? 1) - 1;
    const isInboxClean = puts === (rows.swept?.inboxNo ?? 0);
    if (isLogClean && isInboxClean) return;
    this.#sessions--;
    if (!isLogClean && rows.head !== undefined) {
      const { epoch } = rows.head;
      const older = { start: keys.session.log(sessionId, 0), end: keys.session.log(sessionId, epoch) };
      if (epoch > 0 && await deleteRange(kv, older) > 0) this.report.leftovers++;
      this.report.leftovers += await removeOrphans(kv, {
        blobs: (blob, part) => keys.session.blob(sessionId, epoch, blob, part),
        fence: keys.list.head(userId, sessionId),
        refOf: async (owner) => {
          const key = owner === "meta"
            ? keys.session.meta(sessionId)
            : keys.session.entry(sessionId, epoch, Number(owner));
          return (await kv.get<Packed>(key)).value;
        },
      });
    }
    const inbox = isInboxClean ? { puts, isEmpty: true } : await store.inbox.sweep(`session:${sessionId}`);
    const swept: SweptRow = { producerEpoch, wasQuiet, inboxNo: inbox.isEmpty ? inbox.puts : rows.swept?.inboxNo ?? 0 };
    // Not when it is deleted meanwhile: then nothing of it may come back.
    const fixed = await kv.get(keys.list.static(userId, sessionId));
    if (fixed.value === null) return;
    await kv.atomic().check(fixed).set(keys.list.swept(userId, sessionId), swept).commit();
  }

  /** Mailboxes of isolates that are gone: a peer that had not heard it yet may have posted after the mailbox was removed. */
  async #removeLostMailboxes(): Promise<void> {
    const { kv, mesh } = this.#options;
    const prefix = ["mailbox"];
    let start: Deno.KvKey | null = null;
    for (;;) {
      const selector: Deno.KvListSelector = start === null ? { prefix } : { prefix, start };
      const first: IteratorResult<Deno.KvEntry<unknown>, undefined> = await kv.list(selector, {
        limit: 1,
        batchSize: 1,
      })
        .next();
      if (first.done) return;
      const isolateId: string = String(first.value.key[1]);
      start = [...prefix, isolateId, true];
      // Whoever joins makes its lease before anybody can post to it.
      if (mesh.isLive(isolateId) || (await kv.get(keys.isolate.lease(isolateId))).value !== null) continue;
      await deleteRange(kv, { prefix: keys.mailbox.all(isolateId) });
    }
  }

  async #forgetTombstones(): Promise<void> {
    const { kv } = this.#options;
    for await (const { key, value } of kv.list<DeletedRow>({ prefix: keys.deletedSessions() }, { batchSize: 500 })) {
      if (value.at + tombstoneMs <= this.#now()) await kv.delete(key);
    }
  }
}

/** Another isolate sweeps: this one stood still for longer than its lease. */
class LeaseLostError extends Error {
  override name = "LeaseLostError";
}
