import assert from "node:assert/strict";
import fc from "fast-check";
import { boundsOf, Budget } from "./rate_limit.ts";
import { limits } from "@/protocol/limits.ts";

Deno.test("a burst passes, then what is won back each second", () => {
  const budget = new Budget(100, 10, 0);
  for (let i = 0; i < 100; i++) assert.equal(budget.take(1, 0), 0);
  assert.equal(budget.take(1, 0), 1_000);
  assert.equal(budget.isFull(9_999), false);
  assert.equal(budget.take(1, 1_000), 0);
  assert.equal(budget.isFull(60_000), true);
});

Deno.test("a step larger than the budget passes into debt, and is waited for", () => {
  const budget = new Budget(10, 10, 0);
  assert.equal(budget.take(50, 0), 0);
  assert.equal(budget.take(1, 0), 5_000);
  assert.equal(budget.take(1, 5_000), 0);
});

Deno.test("over any time no more passes than burst, rate and one step allow; whoever waits as told passes", () => {
  const steps = fc.array(
    fc.record({ amount: fc.integer({ min: 1, max: 50 }), ms: fc.integer({ min: 0, max: 3_000 }) }),
  );
  fc.assert(fc.property(steps, (steps) => {
    const budget = new Budget(100, 20, 0);
    let nowMs = 0;
    let passed = 0;
    for (const { amount, ms } of steps) {
      nowMs += ms;
      const waitMs = budget.take(amount, nowMs);
      if (waitMs === 0) passed += amount;
      else {
        assert.ok(waitMs > 0);
        nowMs += waitMs;
        assert.equal(budget.take(amount, nowMs), 0);
        passed += amount;
      }
      assert.ok(passed <= 100 + 20 * nowMs / 1_000 + 50);
    }
  }));
});

Deno.test("bounds are the protocol's unless they are replaced", () => {
  const bounds = boundsOf({ userSockets: 3 });
  assert.equal(bounds.userSockets, 3);
  assert.equal(bounds.relayMessagesPerS, limits.relayMessagesPerS);
});
