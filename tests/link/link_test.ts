/** The data link between a hub and a runner in processes of their own. */
import assert from "node:assert/strict";
import { LinkHub, startEchoRunner } from "./processes.ts";

Deno.test("bytes go both ways over the link of a runner in another process", async (t) => {
  await using hub = await LinkHub.start();
  await using _runner = await startEchoRunner(hub.url, "runner-1");
  await hub.linked("runner-1");

  await t.step("20 MB come back as they were", async () => {
    const sent = new Uint8Array(20_000_000);
    for (let i = 0; i < sent.length; i++) sent[i] = (i * 7919) >> 3;
    const response = await hub.stream("runner-1", "/echo", sent);
    const got = await response.bytes();
    assert.equal(got.length, sent.length);
    assert.ok(got.every((byte, i) => byte === sent[i]));
  });

  await t.step("100 streams at once", async () => {
    const texts = Array.from({ length: 100 }, (_, i) => `stream ${i} `.repeat(1 + i * 50));
    const got = await Promise.all(texts.map(async (text) => (await hub.stream("runner-1", "/echo", text)).text()));
    assert.deepEqual(got, texts);
  });

  await t.step("what a runner refuses, and a runner that is not there, have typed ends", async () => {
    const refused = await hub.stream("runner-1", "/nothing");
    assert.deepEqual([refused.status, refused.headers.get("x-reset")], [502, "refused"]);
    await refused.body?.cancel();
    const missing = await hub.stream("runner-2", "/echo");
    assert.equal(missing.headers.get("x-reset"), "unreachable");
    await missing.body?.cancel();
  });
});
