import assert from "node:assert/strict";
import { NoticeBudget, NOTICES } from "./notice_budget.ts";

Deno.test("the first notices are written, the rest is counted and said, then it begins anew", () => {
  const written: string[] = [];
  using budget = new NoticeBudget((text, detail) => written.push(detail === undefined ? text : `${text}. ${detail}`));
  for (let i = 1; i <= NOTICES + 3; i++) budget.add(`n${i}`);
  assert.equal(written.length, NOTICES);
  budget.flush();
  assert.equal(written.at(-1), `3 more notifications were left out. The last one: n${NOTICES + 3}`);
  budget.add("again");
  assert.equal(written.at(-1), "again");
  budget.flush();
  assert.equal(written.at(-1), "again");
});
