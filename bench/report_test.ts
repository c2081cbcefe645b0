import assert from "node:assert/strict";
import { compared, median, percentile, result } from "./report.ts";

Deno.test("median and percentile interpolate, and refuse nothing", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([10, 20, 30, 40, 50], 1), 50);
  assert.equal(percentile([10, 20], 0.25), 12.5);
  assert.throws(() => median([]), RangeError);
});

Deno.test("results are rounded to what a run can know", () => {
  assert.deepEqual(result("a.b", "1/s", 123456.789), { name: "a.b", value: 123457, unit: "1/s" });
  assert.deepEqual(compared("a.c", "ms", 0.123456, 0.5), {
    name: "a.c",
    value: 0.1235,
    unit: "ms",
    baseline: 0.5,
    ratio: 0.2469,
  });
});
