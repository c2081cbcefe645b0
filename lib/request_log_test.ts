import assert from "node:assert/strict";
import { App } from "fresh";
import { Counters } from "./counters.ts";
import type { Hub } from "./hub.ts";
import { createLog } from "./log.ts";
import { logRequest } from "./request_log.ts";
import type { State } from "./state.ts";

/** An app with one good, one failing and one machine's route; its answers and its log lines. */
function app(isProxyTrusted: boolean) {
  const lines: Record<string, unknown>[] = [];
  const log = createLog("debug", {}, (line) => lines.push(JSON.parse(line)));
  const counters = new Counters();
  // Only what the log of requests asks of a hub.
  const hub = { log, counters, config: { isProxyTrusted } } as unknown as Hub;
  const handler = new App<State>()
    .use((ctx) => {
      ctx.state.hub = hub;
      return logRequest(ctx, () => ctx.next());
    })
    .get("/things/:id", () => new Response("ok"))
    .get("/healthz", () => new Response("ok"))
    .get("/broken", () => new Response("no", { status: 503 }))
    .handler();
  const ask = (path: string, id?: string) =>
    handler(new Request(`http://hub.test${path}`, { headers: id === undefined ? {} : { "x-request-id": id } }));
  return { lines, counters, ask };
}

Deno.test("a request is one line with the route's pattern; failures warn, health checks whisper", async () => {
  const { lines, counters, ask } = app(false);
  const response = await ask("/things/secret-7?token=x", "given-by-a-client");
  await ask("/healthz");
  await ask("/broken");
  assert.deepEqual(lines.map(({ level, route, status }) => [level, route, status]), [
    ["info", "/things/:id", 200],
    ["debug", "/healthz", 200],
    ["warning", "/broken", 503],
  ]);
  assert.equal(lines[0]?.requestId, response.headers.get("x-request-id"));
  assert.notEqual(lines[0]?.requestId, "given-by-a-client");
  assert.ok(!JSON.stringify(lines).includes("secret"));
  assert.equal(counters.get("http_requests", "200"), 2);
  assert.equal(counters.snapshot().histograms[0]?.buckets.reduce((sum, count) => sum + count), 3);
});

Deno.test("a trusted proxy names requests, in sane characters only", async () => {
  const { lines, ask } = app(true);
  await ask("/things/1", "from-the-proxy-1");
  await ask("/things/1", 'x"} injected');
  assert.equal(lines[0]?.requestId, "from-the-proxy-1");
  assert.match(String(lines[1]?.requestId), /^[0-9a-f-]{36}$/);
});
