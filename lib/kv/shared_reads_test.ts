import assert from "node:assert/strict";
import { SharedReads } from "./shared_reads.ts";

Deno.test("who asks during a read gets the next one, together with all others", async () => {
  const reads: { key: string; settle(value: number): void; fail(error: Error): void }[] = [];
  const shared = new SharedReads<number>((key) =>
    new Promise((resolve, reject) => reads.push({ key, settle: resolve, fail: reject }))
  );
  const first = shared.get("a");
  const others = Array.from({ length: 100 }, () => shared.get("a"));
  const elsewhere = shared.get("b");
  assert.deepEqual(reads.map(({ key }) => key), ["a", "b"]);
  reads[1]!.settle(7);
  assert.equal(await elsewhere, 7);
  reads[0]!.fail(new Error("lost"));
  await assert.rejects(first, /lost/);
  assert.equal(reads.length, 3);
  const late = shared.get("a");
  reads[2]!.settle(2);
  assert.deepEqual(new Set(await Promise.all(others)), new Set([2]));
  assert.equal(reads.length, 4);
  reads[3]!.settle(3);
  assert.equal(await late, 3);
  void shared.get("a");
  assert.equal(reads.length, 5, "nothing is kept once it was given");
});
