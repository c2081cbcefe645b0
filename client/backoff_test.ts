import assert from "node:assert/strict";
import fc from "fast-check";
import { BACKOFF_MAX_MS, backoffMs } from "./backoff.ts";

Deno.test("back-off is positive, bounded and jittered within its half", () => {
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
      const wait = backoffMs(attempt, random);
      assert.ok(wait >= 200 && wait <= BACKOFF_MAX_MS);
      assert.ok(wait >= backoffMs(attempt, 0) && wait <= backoffMs(attempt, 1));
    }),
  );
});

Deno.test("back-off grows until its cap", () => {
  const waits = Array.from({ length: 10 }, (_, attempt) => backoffMs(attempt, 1));
  for (let i = 1; i < waits.length; i++) assert.ok(waits[i]! >= waits[i - 1]!);
  assert.equal(waits[0], 400);
  assert.equal(waits.at(-1), BACKOFF_MAX_MS);
});
