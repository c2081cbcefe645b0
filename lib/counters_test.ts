import assert from "node:assert/strict";
import { Counters, histogramBounds } from "./counters.ts";

Deno.test("counters grow, gauges move, labels are apart", () => {
  const counters = new Counters();
  counters.add("frames_refused", "gap");
  counters.add("frames_refused", "gap", 2);
  counters.add("frames_refused", "bad_frame");
  counters.move("connections", "viewer", 1);
  counters.move("connections", "viewer", -1);
  counters.slot("deliveries", "").value += 7;
  assert.equal(counters.get("frames_refused", "gap"), 3);
  assert.equal(counters.get("records_committed"), 0);
  assert.equal(counters.get("deliveries"), 7);
  const shown = counters.snapshot().values.filter(({ label, value }) => label !== "" || value !== 0);
  assert.deepEqual(shown, [
    { name: "frames_refused", label: "gap", value: 3 },
    { name: "frames_refused", label: "bad_frame", value: 1 },
    { name: "connections", label: "viewer", value: 0 },
    { name: "deliveries", label: "", value: 7 },
  ]);
});

Deno.test("a time falls into the first bucket whose bound it does not exceed", () => {
  const counters = new Counters();
  for (const ms of [0, 1, 1.5, 10_000, 60_000]) counters.observe("commit", ms);
  const [histogram] = counters.snapshot().histograms;
  const expected = Array(histogramBounds.length + 1).fill(0);
  expected[0] = 2;
  expected[1] = 1;
  expected[histogramBounds.length - 1] = 1;
  expected[histogramBounds.length] = 1;
  assert.deepEqual(histogram?.buckets, expected);
  assert.equal(histogram?.sum, 70.0025);
});
