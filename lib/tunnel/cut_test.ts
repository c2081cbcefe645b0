import assert from "node:assert/strict";
import { Cut } from "./cut.ts";

Deno.test("a cut is made once and tells whoever listens, also those who come later", () => {
  const cut = new Cut();
  const told: string[] = [];
  cut.whenMade(() => told.push("a"));
  const forget = cut.whenMade(() => told.push("b"));
  cut.whenMade(() => told.push("c"));
  forget();
  forget();
  assert.deepEqual([cut.isMade, told], [false, []]);
  cut.make();
  cut.make();
  cut.whenMade(() => told.push("d"));
  assert.deepEqual([cut.isMade, told], [true, ["a", "c", "d"]]);
});
