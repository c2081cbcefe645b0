import assert from "node:assert/strict";
import { Ledger } from "./ledger.ts";
import { messageAt, openDelta, STEPS, stepsOf, stepsOfEntry } from "./script.ts";

const faultsOf = (order: readonly number[], sent: number) => {
  const ledger = new Ledger(() => {});
  for (const n of order) ledger.live(n, n + 1);
  return ledger.faults(sent);
};

Deno.test("a ledger tells lost, doubled and late messages apart", () => {
  assert.deepEqual(faultsOf([0, 1, 2], 3), { lost: 0, duplicated: 0, reordered: 0 });
  assert.deepEqual(faultsOf([0, 2], 4), { lost: 2, duplicated: 0, reordered: 0 });
  assert.deepEqual(faultsOf([0, 1, 1, 2], 3), { lost: 0, duplicated: 1, reordered: 0 });
  assert.deepEqual(faultsOf([0, 2, 1], 3), { lost: 0, duplicated: 0, reordered: 1 });
});

Deno.test("what a catch-up repeats is no duplicate, what comes twice after it is", () => {
  const ledger = new Ledger(() => {});
  ledger.live(0, 3);
  ledger.caughtUp(0, 1);
  ledger.live(1, 4);
  assert.deepEqual(ledger.faults(4), { lost: 0, duplicated: 0, reordered: 0 });
  ledger.live(2, 3);
  assert.deepEqual(ledger.faults(4), { lost: 0, duplicated: 1, reordered: 0 });
});

Deno.test("every scripted message covers its own step", () => {
  for (let n = 0; n < 3 * STEPS; n++) {
    const message = JSON.parse(messageAt("s", 1, n).json);
    assert.deepEqual(stepsOf(message), [n, n + 1]);
    const open = openDelta("s", 1, n);
    if (open === null) continue;
    assert.deepEqual(stepsOf(JSON.parse(open)), [n - n % STEPS + 1, n]);
  }
  const { entry } = JSON.parse(messageAt("s", 1, 2 * STEPS - 1).json);
  assert.deepEqual(stepsOfEntry(entry), [STEPS, 2 * STEPS]);
});
