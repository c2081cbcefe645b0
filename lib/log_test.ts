import assert from "node:assert/strict";
import { createLog, errorText } from "./log.ts";

Deno.test("a line is one JSON object with its level, event, context and fields; lower levels are left out", () => {
  const lines: string[] = [];
  const log = createLog("info", { isolate: "i1" }, (line) => lines.push(line));
  log.debug("hidden");
  log.warn("commit_failed", { sessionId: "s\n1", error: errorText(new TypeError("no")) });
  assert.equal(lines.length, 1);
  const { at, ...rest } = JSON.parse(lines[0]!);
  assert.ok(Number.isFinite(Date.parse(at)));
  assert.ok(!lines[0]!.includes("\n"));
  assert.deepEqual(rest, {
    level: "warning",
    event: "commit_failed",
    isolate: "i1",
    sessionId: "s\n1",
    error: "TypeError: no",
  });
});
