import assert from "node:assert/strict";
import { strictKv } from "./testing.ts";
import { CheckFailedError, GroupTooLargeError, KvWriter, WriterFullError } from "./writer.ts";

async function withWriter(body: (kv: Deno.Kv, writer: KvWriter) => Promise<void>, options = {}): Promise<void> {
  const kv = await Deno.openKv(":memory:");
  const writer = new KvWriter(kv, options);
  try {
    await body(kv, writer);
  } finally {
    await writer[Symbol.asyncDispose]();
    kv.close();
  }
}

const set = (key: Deno.KvKeyPart[], value: unknown): Deno.KvMutation => ({ type: "set", key, value });

Deno.test("groups of one tick share commits and keep their order", async () => {
  await withWriter(async (kv, writer) => {
    const done: number[] = [];
    await Promise.all(
      Array.from(
        { length: 1_000 },
        (_, n) => writer.write({ mutations: [set(["last"], n), set(["n", n], n)] }).then(() => done.push(n)),
      ),
    );
    assert.deepEqual(done, Array.from({ length: 1_000 }, (_, n) => n));
    assert.equal((await kv.get(["last"])).value, 999);
    assert.equal(writer.counters.commits, 4);
    assert.equal(writer.queuedBytes, 0);
  });
});

Deno.test("a stale check fails its own group only", async () => {
  await withWriter(async (kv, writer) => {
    const fence = await kv.set(["fence", "a"], 1);
    await kv.set(["fence", "b"], 1);
    const results = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => {
      const isStale = n % 7 === 3;
      const check = isStale
        ? { key: ["fence", "b"], versionstamp: fence.versionstamp }
        : { key: ["fence", "a"], versionstamp: fence.versionstamp };
      return writer.write({ checks: [check], mutations: [set(["n", n], n), set(["m", n], n)] });
    }));
    for (const [n, result] of results.entries()) {
      const isStale = n % 7 === 3;
      assert.equal(result.status, isStale ? "rejected" : "fulfilled");
      if (result.status === "rejected") assert.ok(result.reason instanceof CheckFailedError);
      assert.equal((await kv.get(["n", n])).value, isStale ? null : n);
      assert.equal((await kv.get(["m", n])).value, isStale ? null : n);
    }
  });
});

Deno.test("a database that takes few checks gets fewer groups at a time, and every group is written", async () => {
  const kv = await Deno.openKv(":memory:");
  const writer = new KvWriter(strictKv(kv, 10));
  const checks = [{ key: ["fence"], versionstamp: null }, { key: ["head"], versionstamp: null }];
  const stale = [{ key: ["fence"], versionstamp: "00000000000000990000" }];
  const results = await Promise.allSettled(
    Array.from(
      { length: 40 },
      (_, n) => writer.write({ checks: n === 7 ? stale : checks, mutations: [set(["n", n], n)] }),
    ),
  );
  assert.deepEqual(results.flatMap(({ status }, n) => status === "fulfilled" ? [] : [n]), [7]);
  for (let n = 0; n < 40; n++) assert.equal((await kv.get(["n", n])).value, n === 7 ? null : n);
  assert.equal(writer.queuedBytes, 0);
  await writer[Symbol.asyncDispose]();
  kv.close();
});

Deno.test("a group sees what groups before it wrote, although they were queued together", async () => {
  await withWriter(async (kv, writer) => {
    const check = { key: ["row"], versionstamp: null };
    const first = writer.write({ checks: [check], mutations: [set(["row"], 1)] });
    const second = writer.write({ checks: [check], mutations: [set(["row"], 2)] });
    const [a, b] = await Promise.allSettled([first, second]);
    const { value } = await kv.get(["row"]);
    assert.deepEqual([a.status, b.status, value], ["fulfilled", "rejected", 1]);
  });
});

Deno.test("parts that do not fit go first and become reachable with the last commit, or not at all", async () => {
  await withWriter(async (kv, writer) => {
    const parts = Array.from({ length: 40 }, (_, n) => set(["part", n], new Uint8Array(60 * 1024)));
    await writer.write({ parts, mutations: [set(["index"], 40)] });
    assert.ok(writer.counters.commits > 3);
    let found = 0;
    for await (const _ of kv.list({ prefix: ["part"] }, { batchSize: 5 })) found++;
    assert.equal(found, 40);
    const stale = { key: ["index"], versionstamp: null };
    const other = Array.from({ length: 40 }, (_, n) => set(["other", n], new Uint8Array(60 * 1024)));
    await assert.rejects(
      writer.write({ checks: [stale], parts: other, mutations: [set(["index"], 41)] }),
      CheckFailedError,
    );
    assert.equal((await kv.get(["index"])).value, 40);
    assert.equal((await kv.get(["other", 0])).value, null);
  });
});

Deno.test("bounds are said, not hit silently", async () => {
  await withWriter(async (_kv, writer) => {
    const mutations = Array.from({ length: 501 }, (_, n) => set(["n", n], n));
    await assert.rejects(writer.write({ mutations }), GroupTooLargeError);
    const value = new Uint8Array(1_000);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => writer.write({ mutations: [set(["v", n], value)] })),
    );
    const failed = results.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    assert.ok(failed.length > 5 && failed.length < 15);
    assert.ok(failed.every(({ reason }) => reason instanceof WriterFullError));
  }, { maxQueuedBytes: 10_000 });
});
