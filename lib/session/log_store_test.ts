import assert from "node:assert/strict";
import fc from "fast-check";
import { type Entry, type Event, initialMeta, limits, patchMeta, type SessionMeta } from "@/protocol/mod.ts";
import { faultyKv, seededFaults } from "@/lib/kv/testing.ts";
import {
  EntryTooLargeError,
  IndexConflictError,
  LogGapError,
  LogQueueFullError,
  SessionNotFoundError,
} from "./errors.ts";
import { allKeys, entryEvent, metaEvent, registered, registerOf, withStore } from "./testing.ts";
import { openSessionStore } from "./store.ts";
import { type ProducerLease, type SessionLogStore, StaleEpochError } from "./types.ts";

/** Everything that paging backwards from the last page finds, ascending. */
async function readPages(log: SessionLogStore, sessionId: string, limit: number): Promise<Entry[]> {
  const { entries, oldestIndex } = await log.lastPage(sessionId);
  let all = entries;
  let before = entries[0]?.index ?? 0;
  for (let hasMore = before > oldestIndex; hasMore;) {
    const page = await log.page(sessionId, before, limit);
    assert.ok(page.entries.length > 0 && page.entries.length <= limit);
    all = [...page.entries, ...all];
    before = page.entries[0]!.index;
    hasMore = page.hasMore;
  }
  return all;
}

/** Everything that catching up from `seq` finds, in the order it comes. */
async function readChanges(log: SessionLogStore, sessionId: string, seq: number) {
  const entries: Entry[] = [];
  let meta: SessionMeta | null = null;
  for (let from = seq;;) {
    const chunk = await log.changes(sessionId, from);
    assert.ok(chunk.cursor.seq > from || !chunk.more);
    for (const entry of chunk.entries) assert.ok(entry.seq > from && entry.seq <= chunk.cursor.seq);
    entries.push(...chunk.entries);
    if (chunk.meta) meta = chunk.meta;
    from = chunk.cursor.seq;
    if (!chunk.more) return { entries, meta, cursor: chunk.cursor };
  }
}

type Step =
  | { type: "append"; sizes: number[] }
  | { type: "change"; picks: number[]; size: number }
  | { type: "meta"; title: string; commands: number }
  | { type: "reregister"; isNewLog: boolean }
  | { type: "stale" };

const size = fc.oneof({ arbitrary: fc.nat(300), weight: 12 }, { arbitrary: fc.nat(200_000), weight: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant("append" as const),
      sizes: fc.array(size, { maxLength: 60, size: "max" }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("change" as const),
      picks: fc.array(fc.nat(), { minLength: 1, maxLength: 20 }),
      size,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("meta" as const),
      title: fc.string({ maxLength: 20 }),
      commands: fc.constantFrom(0, 3, 2_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reregister" as const), isNewLog: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("stale" as const) }) },
);

Deno.test("whatever a producer does, pages and changes give exactly what it wrote last", async () => {
  await withStore(async ({ kv, store }) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25, size: "max" }),
        fc.nat(),
        fc.integer({ min: 1, max: 100 }),
        async (steps, at, limit) => {
          const sessionId = `s${run++}`;
          const { log } = store;
          let logNo = 0;
          let lease = await registered(store, "u", registerOf(sessionId, { logId: "log0" }));
          const stale: ProducerLease[] = [];
          let entries = new Map<number, Entry>();
          let meta = initialMeta();
          let metaSeq = 0;
          let seq = 0;
          const pending: Promise<number>[] = [];
          const commit = (events: Event[]) => {
            seq += events.length;
            for (const { entry, seq } of events) if (entry) entries.set(entry.index, { ...entry, seq });
            pending.push(log.commit(lease, events));
          };
          for (const step of steps) {
            if (step.type === "append") {
              commit(
                step.sizes.map((size, n) => entryEvent(lease, seq + 1 + n, entries.size + n, "ü".repeat(size / 2))),
              );
            } else if (step.type === "change" && entries.size > 0) {
              commit(
                step.picks.map((pick, n) =>
                  entryEvent(lease, seq + 1 + n, pick % entries.size, "y".repeat(step.size / step.picks.length))
                ),
              );
            } else if (step.type === "meta") {
              const commands = Array.from(
                { length: step.commands },
                (_, n) => ({ name: `command ${n} ${"d".repeat(60)}` }),
              );
              const patch = { title: step.title, commands };
              meta = patchMeta(meta, patch);
              metaSeq = seq + 1;
              commit([metaEvent(lease, metaSeq, patch)]);
            } else if (step.type === "reregister") {
              await Promise.all(pending.splice(0));
              stale.push(lease);
              if (step.isNewLog) {
                logNo++;
                entries = new Map();
                meta = initialMeta();
                metaSeq = 0;
                seq = 0;
              }
              lease = await registered(store, "u", registerOf(sessionId, { logId: `log${logNo}` }));
              assert.equal(lease.ackedSeq, seq);
            } else if (step.type === "stale" && stale.length > 0) {
              const old = stale.at(-1)!;
              await assert.rejects(log.commit(old, [entryEvent(old, old.ackedSeq + 1, 0, "stale")]), StaleEpochError);
            }
          }
          await Promise.all(pending);
          const expected = [...entries.values()].sort((a, b) => a.index - b.index);
          assert.equal(lease.ackedSeq, seq);
          assert.deepEqual(await log.head(sessionId), {
            epoch: lease.epoch,
            ackedSeq: seq,
            oldestIndex: 0,
            nextIndex: entries.size,
            trimmedSeq: 0,
          });
          assert.deepEqual(await log.meta(sessionId), { seq: metaSeq, meta });
          assert.deepEqual((await log.lastPage(sessionId)).cursor, { epoch: lease.epoch, seq });
          assert.deepEqual(await readPages(log, sessionId, limit), expected);
          const from = at % (seq + 1);
          const changed = await readChanges(log, sessionId, from);
          assert.deepEqual(changed.cursor, { epoch: lease.epoch, seq });
          assert.deepEqual(changed.entries, expected.filter((e) => e.seq > from).sort((a, b) => a.seq - b.seq));
          assert.deepEqual(changed.meta, metaSeq > from ? meta : null);
          // Nothing is kept twice: one index row an entry, and no part of a blob that is not referred to.
          assert.equal((await allKeys(kv, ["session", sessionId, "log", lease.epoch, "seq"])).length, entries.size);
          const blobs = new Set<string>();
          for (const key of await allKeys(kv, ["session", sessionId, "log", lease.epoch, "blob"])) {
            blobs.add(String(key[5]));
          }
          const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;
          const large = expected.filter((entry) => bytesOf(entry) > 60 * 1024).length;
          const isMetaLarge = bytesOf({ epoch: lease.epoch, seq: metaSeq, meta }) > 60 * 1024;
          assert.equal(blobs.size, large + (isMetaLarge ? 1 : 0));
          const head = await kv.get<{ bytes: number }>(["list", "u", sessionId, "head"]);
          assert.equal(head.value?.bytes, expected.reduce((sum, entry) => sum + bytesOf(entry), 0));
        },
      ),
      { numRuns: 40 },
    );
  });
});

Deno.test("an older lease's commit is refused and changes nothing, an older release too", async () => {
  await withStore(async ({ kv, store }) => {
    const older = await registered(store, "u", registerOf("s"));
    await store.log.commit(older, [entryEvent(older, 1, 0, "one")]);
    const newer = await registered(store, "u", registerOf("s"));
    assert.deepEqual([newer.producerEpoch, newer.epoch, newer.ackedSeq], [2, 1, 1]);
    const before = await Array.fromAsync(kv.list({ prefix: [] }));
    await assert.rejects(store.log.commit(older, [entryEvent(older, 2, 1, "z".repeat(100_000))]), StaleEpochError);
    await store.log.release(older);
    await store.log.end("u", "s", { reason: "lost", at: 1 }, older.producerEpoch);
    assert.deepEqual(await Array.fromAsync(kv.list({ prefix: [] })), before);
    assert.equal(await store.log.commit(newer, [entryEvent(newer, 2, 1, "two")]), 2);
    assert.equal(await store.log.producerIsolate("s"), "iso");
    await store.log.release(newer);
    assert.equal(await store.log.producerIsolate("s"), null);
  });
});

Deno.test("when the database fails in the middle, sending again from the acked seq loses and doubles nothing", async () => {
  await withStore(async ({ kv, store: sound }) => {
    await using store = openSessionStore({
      kv: faultyKv(kv, seededFaults(12_345, 0.2)),
      mesh: { isLive: () => true },
      onError: () => {},
    });
    const connect = async (sessionId: string): Promise<ProducerLease> => {
      for (;;) {
        try {
          return await registered(store, "u", registerOf(sessionId));
        } catch (error) {
          if (!(error instanceof TypeError)) throw error;
        }
      }
    };
    await Promise.all(["a", "b", "c"].map(async (sessionId) => {
      let lease = await connect(sessionId);
      const textOf = (seq: number) => `${seq} ${"x".repeat(seq % 50 === 0 ? 100_000 : 20)}`;
      while (lease.ackedSeq < 400) {
        const commits: Promise<number>[] = [];
        for (let seq = lease.ackedSeq + 1; seq <= 400 && commits.length < 8; seq += 10) {
          const count = Math.min(10, 400 - seq + 1);
          // Every third record changes an entry of before.
          commits.push(store.log.commit(
            lease,
            Array.from({ length: count }, (_, n) => {
              const at = seq + n;
              return entryEvent(lease, at, at % 3 === 0 ? Math.floor(at / 2) : at, textOf(at));
            }),
          ));
        }
        const settled = await Promise.allSettled(commits);
        if (settled.every(({ status }) => status === "fulfilled")) continue;
        // Either the producer connects anew, or goes on with its lease.
        if (lease.ackedSeq % 2 === 0) await store.log.commit(lease, []).catch(() => {});
        else lease = await connect(sessionId);
      }
      const expected = new Map<number, number>();
      for (let at = 1; at <= 400; at++) expected.set(at % 3 === 0 ? Math.floor(at / 2) : at, at);
      const entries = await readPages(sound.log, sessionId, 50);
      assert.deepEqual(
        entries.map(({ index, seq, body }) => [index, seq, body]),
        [...expected].sort((a, b) => a[0] - b[0]).map(([index, seq]) => [index, seq, { text: textOf(seq) }]),
      );
      assert.equal((await allKeys(kv, ["session", sessionId, "log", lease.epoch, "seq"])).length, expected.size);
    }));
  });
});

Deno.test("commits that race a registration either count before it or not at all", async () => {
  await withStore(async ({ store }) => {
    for (let round = 0; round < 20; round++) {
      const sessionId = `race${round}`;
      const older = await registered(store, "u", registerOf(sessionId));
      const commits = Array.from({ length: 5 }, (_, n) => store.log.commit(older, [entryEvent(older, n + 1, n, "x")]));
      const registering = registered(store, "u", registerOf(sessionId));
      const settled = await Promise.allSettled(commits);
      const newer = await registering;
      const committed = settled.filter(({ status }) => status === "fulfilled").length;
      assert.equal(newer.ackedSeq, committed);
      assert.equal((await store.log.lastPage(sessionId)).entries.length, committed);
      assert.equal(await store.log.commit(newer, [entryEvent(newer, committed + 1, committed, "y")]), committed + 1);
    }
  });
});

Deno.test("wrong records are typed errors and nothing of their call is written; what came before them counts", async () => {
  await withStore(async ({ store }) => {
    const lease = await registered(store, "u", registerOf("s"));
    const { log } = store;
    await log.commit(lease, [entryEvent(lease, 1, 0, "one"), entryEvent(lease, 2, 1, "two")]);
    await assert.rejects(log.commit(lease, [entryEvent(lease, 4, 2, "gap")]), LogGapError);
    await assert.rejects(
      log.commit(lease, [entryEvent(lease, 3, 2, "ok"), entryEvent(lease, 5, 3, "gap")]),
      LogGapError,
    );
    await assert.rejects(
      log.commit(lease, [entryEvent({ ...lease, epoch: 9 }, 3, 2, "wrong epoch")]),
      StaleEpochError,
    );
    const good = log.commit(lease, [entryEvent(lease, 3, 2, "three")]);
    const bad = log.commit(lease, [entryEvent(lease, 4, 3, "four"), entryEvent(lease, 5, 0, "other", "other-id")]);
    const after = log.commit(lease, [entryEvent(lease, 6, 4, "six")]);
    assert.equal(await good, 3);
    await assert.rejects(bad, IndexConflictError);
    await assert.rejects(after, IndexConflictError);
    await assert.rejects(
      log.commit(lease, [entryEvent(lease, 4, 3, "x".repeat(limits.entryBytes))]),
      EntryTooLargeError,
    );
    assert.equal((await log.head("s"))?.ackedSeq, 3);
    assert.deepEqual((await log.lastPage("s")).entries.map(({ seq }) => seq), [1, 2, 3]);
    assert.equal(lease.ackedSeq, 3);
    // Records sent again are skipped, and the log goes on.
    assert.equal(await log.commit(lease, [entryEvent(lease, 3, 2, "three"), entryEvent(lease, 4, 3, "four")]), 4);
    assert.equal(await log.commit(lease, [entryEvent(lease, 4, 3, "four")]), 4);
  });
});

Deno.test("more than a producer may have unacknowledged is refused while it waits", async () => {
  await withStore(async ({ store }) => {
    const lease = await registered(store, "u", registerOf("s"));
    const records = (from: number, count: number) =>
      Array.from({ length: count }, (_, n) => entryEvent(lease, from + n, from + n - 1, "x"));
    const first = store.log.commit(lease, records(1, 2 * limits.unackedRecords));
    const second = store.log.commit(lease, records(2 * limits.unackedRecords + 1, 1));
    await assert.rejects(second, LogQueueFullError);
    assert.equal(await first, 2 * limits.unackedRecords);
    assert.equal(
      await store.log.commit(lease, records(2 * limits.unackedRecords + 1, 1)),
      2 * limits.unackedRecords + 1,
    );
  });
});

Deno.test("an entry of the largest size is stored and read back", async () => {
  await withStore(async ({ store }) => {
    const lease = await registered(store, "u", registerOf("s"));
    const text = "x".repeat(limits.entryBytes - 1_000);
    await store.log.commit(lease, [entryEvent(lease, 1, 0, text), entryEvent(lease, 2, 1, "after")]);
    await store.log.commit(lease, [entryEvent(lease, 3, 0, `${text}!`)]);
    const { entries } = await store.log.lastPage("s");
    assert.deepEqual(entries.map(({ index }) => index), [1]);
    const page = await store.log.page("s", 1, 100);
    assert.deepEqual([page.entries[0]?.body, page.hasMore], [{ text: `${text}!` }, false]);
  });
});

Deno.test("the oldest entries go once a log is over its bytes; changing one that is gone stores nothing", async () => {
  await withStore(async ({ kv }) => {
    const retentionBytes = 200_000;
    await using store = openSessionStore({ kv, mesh: { isLive: () => true }, retentionBytes });
    const { log } = store;
    const lease = await registered(store, "u", registerOf("s"));
    for (let seq = 1; seq <= 600; seq++) {
      await log.commit(lease, [entryEvent(lease, seq, seq - 1, "x".repeat(seq % 40 === 0 ? 70_000 : 900))]);
    }
    await log.release(lease); // resolves when nothing is under way, trimming included
    const { oldestIndex, ackedSeq, trimmedSeq } = (await log.head("s"))!;
    assert.equal(ackedSeq, 600);
    assert.equal(trimmedSeq, oldestIndex);
    const entries = await readPages(log, "s", 30);
    assert.deepEqual(
      entries.map(({ index }) => index),
      Array.from({ length: 600 - oldestIndex }, (_, n) => oldestIndex + n),
    );
    assert.ok(entries.length >= limits.pageEntries, "the newest page always stays");
    const bytes = new TextEncoder().encode(entries.map((entry) => JSON.stringify(entry)).join("")).length;
    assert.ok(bytes < retentionBytes * 2, `${bytes} bytes are left`);
    assert.equal((await allKeys(kv, ["session", "s", "log", 1, "seq"])).length, entries.length);
    assert.equal(
      await log.commit(lease, [entryEvent(lease, 601, 0, "changed"), entryEvent(lease, 602, 600, "new")]),
      602,
    );
    assert.deepEqual((await readChanges(log, "s", 600)).entries.map(({ index }) => index), [600]);
    assert.deepEqual((await log.page("s", oldestIndex, 10)).entries, []);
    assert.equal((await log.changes("s", 600)).trimmedSeq, 601, "who had the old version of entry 0 must start over");
  });
});

Deno.test("an unknown session is said to be one", async () => {
  await withStore(async ({ store }) => {
    assert.equal(await store.log.head("nope"), null);
    assert.equal(await store.log.producerIsolate("nope"), null);
    await assert.rejects(store.log.lastPage("nope"), SessionNotFoundError);
    await assert.rejects(store.log.changes("nope", 0), SessionNotFoundError);
  });
});
