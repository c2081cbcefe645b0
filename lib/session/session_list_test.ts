import assert from "node:assert/strict";
import { initialMeta } from "@/protocol/mod.ts";
import { keys } from "@/lib/kv/keys.ts";
import { KvLease } from "@/lib/kv/lease.ts";
import type { IsolateRow } from "@/lib/mesh/lease.ts";
import { openSessionStore } from "./store.ts";
import { SessionExistsError } from "./errors.ts";
import { allKeys, entryEvent, metaEvent, registered, registerOf, runnerOf, withStore } from "./testing.ts";

const agent = { id: "demo", name: "Demo" };

Deno.test("a session is listed from its making to its end, with what its host says and who holds it", async () => {
  await withStore(async ({ store, live, clock }) => {
    const { log, sessions, runners } = store;
    await runners.register("u", "iso", runnerOf("runner"));
    await sessions.create("u", { sessionId: "s", cwd: "/home/me", runnerId: "runner", agent, sessionName: "First" });
    await assert.rejects(
      sessions.create("u", { sessionId: "s", cwd: "/", runnerId: "runner", agent, sessionName: null }),
      SessionExistsError,
    );
    assert.deepEqual(await log.head("s"), { epoch: 0, ackedSeq: 0, oldestIndex: 0, nextIndex: 0, trimmedSeq: 0 });
    assert.deepEqual((await log.lastPage("s")).meta, initialMeta());
    const made = await sessions.info("u", "s");
    assert.deepEqual(made, {
      sessionId: "s",
      shareUrl: "/session/s",
      cwd: "/home/me",
      sessionName: "First",
      agent,
      model: null,
      runnerId: "runner",
      runnerName: "name of runner",
      startedAt: clock.now,
      lastActivityAt: clock.now,
      isActive: false,
      activity: "starting",
      attention: 0,
      unread: false,
      viewerCount: 0,
      ended: null,
      isResumable: false,
      parentSessionId: null,
    });
    assert.equal(await sessions.info("other", "s"), null);

    const lease = await registered(store, "u", registerOf("s"));
    const can = { ...initialMeta().can, resume: true };
    const model = { provider: "p", id: "m" };
    await log.commit(lease, [
      metaEvent(lease, 1, {
        title: "Titled",
        activity: "waiting",
        attention: 1,
        model,
        can,
        preview: "hm",
        lastActivityAt: 2_000_000,
      }),
      entryEvent(lease, 2, 0, "hello"),
    ]);
    const active = (await sessions.info("u", "s"))!;
    assert.deepEqual(
      [active.sessionName, active.isActive, active.activity, active.attention, active.unread, active.isResumable],
      ["Titled", true, "waiting", 1, true, false],
    );
    assert.deepEqual([active.model, active.preview, active.lastActivityAt], [model, "hm", 2_000_000]);
    await sessions.markSeen("u", "s", 99);
    assert.equal((await sessions.info("u", "s"))?.unread, false);
    // A change of the meta alone is nothing unread.
    await log.commit(lease, [metaEvent(lease, 3, { activity: "idle" })]);
    assert.equal((await sessions.info("u", "s"))?.unread, false);
    await log.commit(lease, [entryEvent(lease, 4, 1, "more")]);
    await sessions.markSeen("u", "s", 1);
    assert.equal((await sessions.info("u", "s"))?.unread, true);

    await sessions.setViewers("u", "s", "iso", 2);
    await sessions.setViewers("u", "s", "dead", 5);
    assert.equal((await sessions.info("u", "s"))?.viewerCount, 2);
    await sessions.setViewers("u", "s", "iso", 0);

    // The isolate that holds the producer dies without a word.
    live.delete("iso");
    const orphaned = (await sessions.info("u", "s"))!;
    assert.deepEqual(
      [orphaned.isActive, orphaned.activity, orphaned.ended, orphaned.isResumable, orphaned.viewerCount],
      [false, "idle", null, true, 0],
    );
    assert.equal(await log.producerIsolate("s"), null);
  });
});

Deno.test("an end holds for the producer that it speaks of, and only once that is gone", async () => {
  await withStore(async ({ store }) => {
    const { log, sessions, runners } = store;
    const infoOf = async () => {
      const info = (await sessions.info("u", "s"))!;
      return [info.activity, info.ended?.reason ?? null];
    };
    const lost = { reason: "lost" as const, at: 5 };
    const first = await registered(store, "u", registerOf("s"));
    await log.commit(first, [metaEvent(first, 1, { activity: "working" })]);
    // The daemon knows that the host died before the hub knows that its socket closed.
    await log.end("u", "s", lost);
    assert.deepEqual(await infoOf(), ["working", null]);
    await log.release(first);
    assert.deepEqual(await infoOf(), ["ended", "lost"]);
    await log.end("u", "s", { reason: "failed", at: 6 });
    assert.deepEqual(await infoOf(), ["ended", "lost"]);
    await runners.register("u", "iso", runnerOf("runner"));
    assert.deepEqual(await runners.liveSessionIds("u", "runner"), []);

    const second = await registered(store, "u", registerOf("s"));
    assert.deepEqual(await infoOf(), ["working", null]);
    await log.end("u", "s", lost, first.producerEpoch);
    await log.end("other", "s", lost);
    await log.release(second);
    assert.deepEqual(await infoOf(), ["working", null]);
    assert.deepEqual(await runners.liveSessionIds("u", "runner"), ["s"]);

    const third = await registered(store, "u", registerOf("s"));
    await log.end("u", "s", { reason: "closed", at: 7 }, third.producerEpoch);
    assert.deepEqual(await infoOf(), ["ended", "closed"]);
    const fourth = await registered(store, "u", registerOf("s"));
    await log.commit(fourth, [metaEvent(fourth, 2, { activity: "ended", ended: { reason: "failed", at: 8 } })]);
    assert.deepEqual(await infoOf(), ["ended", "failed"]);
    await log.commit(fourth, [metaEvent(fourth, 3, { activity: "starting", ended: null })]);
    assert.deepEqual(await infoOf(), ["starting", null]);
  });
});

Deno.test("deleting leaves no key of the session, stops its producer and keeps it from coming back", async () => {
  await withStore(async ({ kv, store, clock }) => {
    const { log, sessions, inbox } = store;
    const lease = await registered(store, "u", registerOf("gone"));
    await log.commit(
      lease,
      Array.from({ length: 700 }, (_, n) => entryEvent(lease, n + 1, n, "x".repeat(n === 5 ? 200_000 : 10))),
    );
    await sessions.markSeen("u", "gone", 3);
    await sessions.setViewers("u", "gone", "iso", 1);
    await log.end("u", "gone", { reason: "closed", at: 1 });
    await inbox.put("session:gone", "u", {
      type: "command",
      op: "op",
      sessionId: "gone",
      command: { kind: "prompt", text: "p".repeat(100_000), delivery: "prompt" },
      from: "me",
      at: clock.now,
      expiresAt: clock.now + 1,
    });
    const other = await registered(store, "u", registerOf("stays"));
    assert.equal(await sessions.delete("other", "gone"), false);
    const racing = log.commit(lease, [entryEvent(lease, 701, 700, "late")]).catch((error) => error.name);
    assert.equal(await sessions.delete("u", "gone"), true);
    assert.ok([701, "StaleEpochError"].includes(await racing));
    assert.deepEqual((await allKeys(kv)).filter((key) => key.includes("gone")), []);
    assert.equal(await sessions.delete("u", "gone"), false);
    assert.equal(await sessions.info("u", "gone"), null);
    assert.equal(await log.head("gone"), null);
    await sessions.markSeen("u", "gone", 3);
    await sessions.setViewers("u", "gone", "iso", 1);
    await log.release(lease);
    assert.deepEqual((await allKeys(kv)).filter((key) => key.includes("gone")), []);
    const again = await log.register("u", "iso", registerOf("gone"));
    assert.deepEqual(again.ok ? null : again.code, "not_found");
    assert.equal(await log.commit(other, [entryEvent(other, 1, 0, "x")]), 1);
  });
});

Deno.test("another user's session answers as not found", async () => {
  await withStore(async ({ store }) => {
    await registered(store, "u", registerOf("s"));
    assert.deepEqual(await store.log.register("other", "iso", registerOf("s")), {
      ok: false,
      code: "not_found",
      message: "there is no session s",
    });
    assert.deepEqual(await store.sessions.list("other"), []);
    assert.deepEqual((await store.sessions.list("u")).map(({ sessionId }) => sessionId), ["s"]);
  });
});

Deno.test("without a mesh, whether a producer's isolate lives is read from its lease", async () => {
  await withStore(async ({ kv, clock }) => {
    await using store = openSessionStore({ kv, now: () => clock.now });
    await registered(store, "u", registerOf("s"));
    const isActive = async () => (await store.sessions.info("u", "s"))?.isActive;
    assert.equal(await isActive(), false);
    await new KvLease<IsolateRow>(kv, keys.isolate.lease("iso"), { isolateId: "iso", slot: "hub", boot: "1" }, {
      leaseMs: 15_000,
      now: () => clock.now,
    }).acquire();
    assert.equal(await isActive(), true);
    clock.now += 15_000;
    assert.equal(await isActive(), false);
  });
});

Deno.test("the list is newest activity first", async () => {
  await withStore(async ({ store }) => {
    for (const [sessionId, lastActivityAt] of [["a", 600_000], ["b", 800_000], ["c", 700_000]] as const) {
      const lease = await registered(store, "u", registerOf(sessionId));
      await store.log.commit(lease, [metaEvent(lease, 1, { lastActivityAt })]);
    }
    assert.deepEqual((await store.sessions.list("u")).map(({ sessionId }) => sessionId), ["b", "c", "a"]);
  });
});
