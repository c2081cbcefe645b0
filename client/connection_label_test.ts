import assert from "node:assert/strict";
import { connectionLabel } from "./connection_label.ts";

Deno.test("the label says what is so", () => {
  const text = (...args: Parameters<typeof connectionLabel>) => connectionLabel(...args).text;
  assert.equal(text({ kind: "live", isAnswering: true }, true, false, true, 0), "Live");
  assert.equal(text({ kind: "live", isAnswering: true }, false, false, true, 0), "Runner offline");
  assert.equal(text({ kind: "live", isAnswering: true }, false, true, true, 0), "Live");
  assert.equal(text({ kind: "live", isAnswering: false }, true, false, true, 0), "Not answering");
  assert.equal(text({ kind: "waiting", retryAt: 3_200 }, true, false, true, 1_000), "Reconnecting in 3 s");
  assert.equal(text({ kind: "waiting", retryAt: 0 }, true, false, true, 1_000), "Reconnecting in 1 s");
  assert.equal(text({ kind: "waiting", retryAt: 3_200 }, true, false, false, 1_000), "Offline");
  assert.equal(text({ kind: "connecting" }, null, false, true, 0), "Connecting");
  assert.equal(text({ kind: "stopped", reason: "signed_out" }, null, false, true, 0), "Signed out");
});
