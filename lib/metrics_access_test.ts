import assert from "node:assert/strict";
import { mayReadMetrics } from "./metrics_access.ts";
import type { Principal } from "./principal.ts";

const person = (kind: "key" | "session"): Principal => ({ userId: "u", userName: "U", credential: { kind, id: "c" } });
const asking = (authorization?: string) =>
  new Request("http://127.0.0.1/metrics", { headers: authorization === undefined ? {} : { authorization } });

Deno.test("without a token an API key opens the metrics, a browser's sign-in does not", () => {
  assert.equal(mayReadMetrics(asking(), null, undefined), false);
  assert.equal(mayReadMetrics(asking("Bearer anything"), null, undefined), false);
  assert.equal(mayReadMetrics(asking(), person("session"), undefined), false);
  assert.equal(mayReadMetrics(asking("Bearer key"), person("key"), undefined), true);
});

Deno.test("with a token nothing else opens them", () => {
  assert.equal(mayReadMetrics(asking("Bearer secret"), null, "secret"), true);
  assert.equal(mayReadMetrics(asking("bearer secret"), null, "secret"), true);
  assert.equal(mayReadMetrics(asking("Bearer secre"), null, "secret"), false);
  assert.equal(mayReadMetrics(asking("Basic secret"), null, "secret"), false);
  assert.equal(mayReadMetrics(asking("Bearer key"), person("key"), "secret"), false);
});
