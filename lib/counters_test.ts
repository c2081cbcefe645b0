import assert from "node:assert/strict";
import { Counters } from "./counters.ts";

Deno.test("counters grow, gauges move, labels are apart", () => {
  const counters = new Counters();
  counters.add("frames_refused", "gap");
  counters.add("frames_refused", "gap", 2);
  counters.add("frames_refused", "bad_frame");
  counters.move("connections", "viewer", 1);
  counters.move("connections", "viewer", -1);
  assert.equal(counters.get("frames_refused", "gap"), 3);
  assert.equal(counters.get("records_committed"), 0);
  assert.deepEqual(counters.snapshot().map(({ name, kind, label, value }) => [name, kind, label, value]), [
    ["frames_refused", "counter", "gap", 3],
    ["frames_refused", "counter", "bad_frame", 1],
    ["connections", "gauge", "viewer", 0],
  ]);
});
