import assert from "node:assert/strict";
import fc from "fast-check";
import { type Entry, limits } from "@/protocol/mod.ts";
import { keys } from "@/lib/kv/keys.ts";
import { faultyKv } from "@/lib/kv/testing.ts";
import { createLog } from "@/lib/log.ts";
import type { HeadRow } from "@/lib/session/rows.ts";
import { openSessionStore } from "@/lib/session/store.ts";
import {
  allKeys,
  entryEvent,
  metaEvent,
  registered,
  registerOf,
  type TestStore,
  withStore,
} from "@/lib/session/testing.ts";
import type { ProducerLease } from "@/lib/session/types.ts";
import { Retention, type SweepReport } from "./retention.ts";
import { planRetention, type RetentionLimits } from "./retention_policy.ts";

const unlimited: RetentionLimits = {
  sessionBytes: Infinity,
  userBytes: Infinity,
  idleMs: Infinity,
  forgetMs: Infinity,
};
const dayMs = 24 * 60 * 60 * 1000;

function retentionOf(
  { kv, store, live, clock }: Pick<TestStore, "kv" | "store" | "live" | "clock">,
  bounds: Partial<RetentionLimits>,
  more: Partial<ConstructorParameters<typeof Retention>[0]> = {},
): Retention {
  const mesh = { isolateId: "sweeper", isLive: (isolateId: string) => live.has(isolateId) };
  const log = createLog("error", {});
  return new Retention({
    kv,
    store,
    mesh,
    log,
    limits: { ...unlimited, ...bounds },
    now: () => clock.now,
    passMs: 0,
    ...more,
  });
}

/** Sweeps until one whole pass is done. */
async function sweepAll(retention: Retention): Promise<SweepReport> {
  for (;;) {
    const report = await retention.sweep();
    assert.ok(report !== null, "nobody else sweeps");
    if (report.isPassDone) return report;
  }
}

/** What is stored of a session's log, and that its head and every row agree with it. */
async function storedEntries(
  kv: Deno.Kv,
  userId: string,
  sessionId: string,
): Promise<{ entries: Entry[]; head: HeadRow }> {
  const { value: head } = await kv.get<HeadRow>(keys.list.head(userId, sessionId));
  assert.ok(head);
  const entries: Entry[] = [];
  let bytes = 0;
  let parts = 0;
  for await (const { value } of kv.list({ prefix: keys.session.entries(sessionId, head.epoch) })) {
    let json = value as Uint8Array;
    if (!(value instanceof Uint8Array)) {
      const ref = value as { blob: string; parts: number; bytes: number };
      const chunks: Uint8Array[] = [];
      for await (const part of kv.list<Uint8Array>({ prefix: keys.session.blob(sessionId, head.epoch, ref.blob) })) {
        chunks.push(part.value);
      }
      assert.equal(chunks.length, ref.parts);
      parts += ref.parts;
      json = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
    }
    bytes += json.length;
    entries.push(JSON.parse(new TextDecoder().decode(json)));
  }
  assert.equal(head.bytes, bytes, "the head's bytes are those of the stored entries");
  assert.equal((await allKeys(kv, ["session", sessionId, "log", head.epoch, "seq"])).length, entries.length);
  assert.equal((await allKeys(kv, ["session", sessionId, "log", head.epoch, "blob"])).length, parts);
  return { entries, head };
}

async function write(store: TestStore["store"], lease: ProducerLease, from: number, count: number, chars = 1_000) {
  const events = Array.from(
    { length: count },
    (_, n) => entryEvent(lease, lease.ackedSeq + 1 + n, from + n, "x".repeat(chars)),
  );
  await store.log.commit(lease, events);
}

Deno.test("a session that was idle too long keeps its newest page; an active one keeps all", async () => {
  await withStore(async (test) => {
    const { store, clock, kv } = test;
    const old = await registered(store, "u", registerOf("old", { startedAt: clock.now }));
    await write(store, old, 0, 300);
    clock.now += 20 * dayMs;
    const young = await registered(store, "u", registerOf("young", { startedAt: clock.now }));
    await write(store, young, 0, 300);
    clock.now += 15 * dayMs;
    await using retention = retentionOf(test, { idleMs: 30 * dayMs });
    const report = await sweepAll(retention);
    assert.equal(report.trimmedEntries, 200);
    assert.deepEqual((await storedEntries(kv, "u", "old")).entries.map(({ index }) => index)[0], 200);
    assert.equal((await storedEntries(kv, "u", "young")).entries.length, 300);
    // The host that is connected to the trimmed session goes on as if nothing had happened.
    await write(store, old, 300, 5);
    assert.equal((await storedEntries(kv, "u", "old")).entries.length, 105);
    assert.equal((await sweepAll(retention)).trimmedEntries, 5);
  });
});

Deno.test("a user over their bytes loses the oldest of the least recently active sessions first", async () => {
  await withStore(async (test) => {
    const { store, clock, kv, live } = test;
    const leases: ProducerLease[] = [];
    for (const name of ["a", "b", "c"]) {
      clock.now += dayMs;
      const lease = await registered(store, "u", registerOf(name, { startedAt: clock.now }));
      await write(store, lease, 0, 150, 10_000);
      leases.push(lease);
    }
    await using retention = retentionOf(test, { userBytes: 3_500_000 });
    await sweepAll(retention);
    const sizes = await Promise.all(
      ["a", "b", "c"].map(async (name) => (await storedEntries(kv, "u", name)).head.bytes),
    );
    assert.ok(sizes[0]! < 600_000, `the least recently active one was trimmed: ${sizes}`);
    assert.ok(sizes[2]! > 1_500_000, `the most recently active one was not: ${sizes}`);
    assert.ok(sizes.reduce((sum, size) => sum + size) <= 3_500_000);
    // Pages alone over the bound: those of sessions without a host go altogether, a connected one keeps its page.
    live.clear();
    await registered(store, "u", registerOf("c", { startedAt: clock.now })).then(() => live.add("iso"));
    await store.log.release(leases[0]!);
    await store.log.release(leases[1]!);
    await using strict = retentionOf(test, { userBytes: 100_000 });
    await sweepAll(strict);
    assert.equal((await storedEntries(kv, "u", "a")).entries.length, 0);
    assert.equal((await storedEntries(kv, "u", "b")).entries.length, 0);
    assert.ok((await storedEntries(kv, "u", "c")).entries.length > 0);
    const page = await store.log.lastPage("a");
    assert.deepEqual([page.entries, page.oldestIndex], [[], 150]);
  });
});

Deno.test("a session without a host is forgotten after its time, leaves nothing, and may come back whole", async () => {
  await withStore(async (test) => {
    const { store, clock, kv } = test;
    const gone = await registered(store, "u", registerOf("gone", { startedAt: clock.now }));
    await write(store, gone, 0, 3, 70_000);
    await store.log.release(gone);
    await registered(store, "u", registerOf("connected", { startedAt: clock.now }));
    clock.now += 100 * dayMs;
    const told: string[] = [];
    await using retention = retentionOf(test, { forgetMs: 90 * dayMs }, {
      onForgotten: (userId, sessionId) => told.push(`${userId} ${sessionId}`),
    });
    assert.equal((await sweepAll(retention)).forgotten, 1);
    assert.deepEqual(told, ["u gone"]);
    assert.deepEqual((await allKeys(kv)).filter((key) => key.includes("gone")), []);
    assert.ok(await store.sessions.info("u", "connected"));
    const again = await registered(store, "u", registerOf("gone"));
    assert.equal(again.ackedSeq, 0, "the host sends its whole journal again");
  });
});

Deno.test("one sweeps at a time; a sweeper that died is replaced when its lease has run out", async () => {
  await withStore(async (test) => {
    const { kv, store, clock, live } = test;
    const lease = await registered(store, "u", registerOf("s", { startedAt: clock.now }));
    await write(store, lease, 0, 400);
    const dying = faultyKv(kv, () => "before");
    await using dead = retentionOf({ ...test, kv: dying }, { sessionBytes: 50_000 });
    // It takes the lease with its last breath: commits fail from then on.
    let commits = 0;
    const taking = faultyKv(kv, () => commits++ === 0 ? null : "before");
    await using dies = retentionOf({ ...test, kv: taking }, { sessionBytes: 50_000 });
    await assert.rejects(dies.sweep());
    await assert.rejects(dead.sweep().then((report) => assert.ok(report)), "a held lease means: not now");
    await using heir = retentionOf(test, { sessionBytes: 50_000 });
    assert.equal(await heir.sweep(), null);
    clock.now += 60_001;
    assert.equal((await sweepAll(heir)).trimmedEntries, 300);
    assert.ok(live.has("iso"));
  });
});

Deno.test("what a crash left of large values is removed, what is in use is not, and a live writer is not harmed", async () => {
  await withStore(async (test) => {
    const { kv, store } = test;
    const lease = await registered(store, "u", registerOf("s"));
    await write(store, lease, 0, 2, 200_000);
    await store.log.commit(lease, [
      metaEvent(lease, 3, {
        models: Array.from({ length: 900 }, (_, n) => ({ provider: "p", id: `${n}`.repeat(60) })),
      }),
    ]);
    for (const owner of ["0", "7", "meta", "nonsense"]) {
      for (const part of [0, 1]) {
        await kv.set(keys.session.blob("s", lease.epoch, `${owner}~dead`, part), new Uint8Array(9));
      }
    }
    await kv.set(keys.session.entry("s", 0, 5), new Uint8Array(3)); // of a log that was replaced
    await using retention = retentionOf(test, {});
    assert.equal((await sweepAll(retention)).leftovers, 5);
    await write(store, lease, 2, 1, 200_000);
    assert.equal((await store.log.page("s", 3, 1)).entries[0]?.index, 2);
    assert.equal((await store.log.meta("s")).meta.models.length, 900);
    assert.deepEqual((await allKeys(kv)).filter((key) => String(key.at(-2)).endsWith("~dead")), []);
    assert.equal((await sweepAll(retention)).leftovers, 0);
  });
});

Deno.test("commands past their time expire without anybody asking, and settled ones are forgotten", async () => {
  await withStore(async (test) => {
    const { kv, store, clock } = test;
    await registered(store, "u", registerOf("s"));
    const data = "A".repeat(100_000);
    const command = {
      kind: "prompt" as const,
      text: "hello",
      delivery: "prompt" as const,
      attachments: [{ mediaType: "image/png", filename: "a.png", data }],
    };
    const at = clock.now;
    const status = await store.inbox.put("session:s", "u", {
      type: "command",
      op: "op",
      sessionId: "s",
      command,
      from: "U",
      at,
      expiresAt: at + 1_000,
    });
    assert.deepEqual(
      status.command,
      { ...command, attachments: [{ mediaType: "image/png", filename: "a.png" }] },
      "a status carries no file contents",
    );
    await using retention = retentionOf(test, {});
    await sweepAll(retention);
    assert.equal((await store.inbox.status("session:s", "op"))?.status, "accepted");
    clock.now += 2_000;
    await sweepAll(retention);
    assert.equal((await store.inbox.status("session:s", "op"))?.status, "expired");
    clock.now += dayMs;
    await sweepAll(retention);
    assert.deepEqual(await allKeys(kv, keys.inbox.all("session", "s")), [keys.inbox.head("session", "s")]);
  });
});

type Step =
  | { do: "write" | "change"; session: number; count: number; chars: number }
  | { do: "reconnect"; session: number }
  | { do: "leave"; session: number }
  | { do: "sweep"; crashAfter: number; how: "before" | "after" }
  | { do: "wait"; days: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("write", "write", "change"),
      session: fc.nat(2),
      count: fc.integer({ min: 1, max: 60 }),
      chars: fc.constantFrom(50, 300, 4_000, 90_000),
    }).map((made) => ({ ...made, count: made.chars > 50_000 ? Math.min(3, made.count) : made.count })),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("reconnect", "leave"), session: fc.nat(2) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("sweep"), crashAfter: fc.nat(12), how: fc.constantFrom("before", "after") }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait"), days: fc.nat(40) }) },
);

Deno.test("whatever is written while sweeps run and die anywhere, what is stored is the newest of it, within the bounds", async () => {
  const bounds: RetentionLimits = { sessionBytes: 60_000, userBytes: 150_000, idleMs: 30 * dayMs, forgetMs: Infinity };
  await withStore(async ({ kv, live, clock }) => {
    let runNo = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40, size: "max" }), async (steps) => {
        const userId = `u${runNo++}`;
        await using store = openSessionStore({
          kv,
          mesh: { isLive: (isolateId) => live.has(isolateId) },
          now: () => clock.now,
          retentionBytes: bounds.sessionBytes,
        });
        const test = { kv, store, live, clock };
        const models = await Promise.all([0, 1, 2].map(async (n) => {
          const sessionId = `${userId}-${n}`;
          const lease = await registered(store, userId, registerOf(sessionId, { startedAt: clock.now }));
          return { sessionId, lease, entries: [] as Entry[], pending: [] as Promise<unknown>[], lastSeq: 0 };
        }));
        const sweeping: Promise<unknown>[] = [];
        for (const current of steps) {
          if (current.do === "wait") {
            clock.now += current.days * dayMs;
          } else if (current.do === "sweep") {
            let commits = 0;
            const dying = faultyKv(kv, () => {
              commits++;
              return commits <= current.crashAfter ? null : commits === current.crashAfter + 1 ? current.how : "before";
            });
            const dyingStore = openSessionStore({
              kv: dying,
              mesh: { isLive: (id) => live.has(id) },
              now: () => clock.now,
            });
            const retention = retentionOf({ ...test, kv: dying, store: dyingStore }, bounds);
            sweeping.push(
              retention.sweep().catch(() => {}).then(async () => {
                clock.now += 60_001; // its lease runs out
                await retention[Symbol.asyncDispose]();
                await dyingStore[Symbol.asyncDispose]();
              }),
            );
            if (current.crashAfter % 2 === 0) await sweeping.at(-1);
          } else {
            const model = models[current.session]!;
            if (current.do === "leave") {
              await Promise.all(model.pending.splice(0));
              await store.log.release(model.lease);
              continue;
            }
            if (current.do === "reconnect") {
              await Promise.all(model.pending.splice(0));
              model.lease = await registered(store, userId, registerOf(model.sessionId, { startedAt: clock.now }));
              assert.equal(model.lease.ackedSeq, model.lastSeq, "nothing that was acknowledged is lost");
              continue;
            }
            const events = Array.from({ length: current.count }, (_, n) => {
              const index = current.do === "write" || model.entries.length === 0
                ? model.entries.length
                : (current.chars * 7 + n * 13) % model.entries.length;
              const event = entryEvent(
                model.lease,
                ++model.lastSeq,
                index,
                `${model.lastSeq}`.padEnd(current.chars, "x"),
              );
              model.entries[index] = { ...event.entry!, seq: event.seq };
              return event;
            });
            model.pending.push(store.log.commit(model.lease, events));
          }
        }
        for (const model of models) await Promise.all(model.pending);
        await Promise.all(sweeping);
        for (const model of models) await store.log.release(model.lease);
        clock.now += 60_001;
        await using retention = retentionOf(test, bounds);
        await sweepAll(retention);
        let total = 0;
        for (const { sessionId, entries, lastSeq } of models) {
          const { entries: stored, head } = await storedEntries(kv, userId, sessionId);
          assert.equal(head.ackedSeq, lastSeq);
          assert.equal(head.nextIndex, entries.length);
          assert.deepEqual(
            stored,
            entries.slice(head.oldestIndex),
            "exactly the newest entries, as they were written last",
          );
          const trimmed = entries.slice(0, head.oldestIndex);
          assert.ok(trimmed.every(({ seq }) => seq <= head.trimmedSeq));
          assert.ok(head.bytes <= bounds.sessionBytes || stored.length <= limits.pageEntries);
          total += head.bytes;
        }
        assert.ok(total <= bounds.userBytes, `${total} bytes of a quiet user are within the bound`);
        for (const { sessionId } of models) await store.sessions.delete(userId, sessionId);
        assert.deepEqual((await allKeys(kv)).filter((key) => key.some((part) => String(part).startsWith(userId))), []);
      }),
      { numRuns: 40 },
    );
  });
});

Deno.test("a plan never asks for more than the bounds need", () => {
  fc.assert(fc.property(
    fc.array(fc.record({ bytes: fc.nat(5_000_000), idle: fc.nat(100), isQuiet: fc.boolean() }), { maxLength: 20 }),
    fc.record({ session: fc.nat(4_000_000), user: fc.nat(20_000_000), days: fc.nat(100), forget: fc.nat(100) }),
    (made, { session, user, days, forget }) => {
      const nowMs = 1_000 * dayMs;
      const sessions = made.map(({ bytes, idle, isQuiet }, n) => ({
        sessionId: `${n}`,
        bytes,
        idleSinceMs: nowMs - idle * dayMs,
        isQuiet,
      }));
      const bounds = { sessionBytes: session, userBytes: user, idleMs: days * dayMs, forgetMs: forget * dayMs };
      const plan = new Map(planRetention(sessions, bounds, nowMs).map((action) => [action.sessionId, action]));
      let left = 0;
      for (const { sessionId, bytes, idleSinceMs, isQuiet } of sessions) {
        const action = plan.get(sessionId);
        const isForgotten = isQuiet && nowMs - idleSinceMs > bounds.forgetMs;
        assert.equal(action?.do === "forget", isForgotten);
        if (isForgotten) continue;
        if (action?.do === "trim" && action.keeps === "nothing") assert.ok(isQuiet);
        left += action?.do === "trim"
          ? Math.min(bytes, Math.max(action.toBytes, isQuiet ? 0 : limits.pageBytes))
          : bytes;
      }
      const pages = sessions.filter(({ isQuiet }) => !isQuiet).length * limits.pageBytes;
      assert.ok(left <= Math.max(user, pages) + pages, `${left} bytes are left`);
      if (sessions.every(({ bytes, idleSinceMs }) => bytes <= session && nowMs - idleSinceMs <= bounds.idleMs)) {
        const total = sessions.reduce((sum, { bytes }) => sum + bytes, 0);
        const trims = [...plan.values()].filter((action) => action.do === "trim");
        if (total <= user) assert.equal(trims.length, 0, "nothing is over its bounds");
      }
    },
  ));
});
