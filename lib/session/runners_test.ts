import assert from "node:assert/strict";
import { allKeys, registered, registerOf, runnerOf, withStore } from "./testing.ts";
import { StaleEpochError } from "./types.ts";

Deno.test("a runner belongs to its first user, and only its newest registration counts", async () => {
  await withStore(async ({ kv, store, live, clock }) => {
    const { runners } = store;
    const older = (await runners.register("u", "iso", runnerOf("r")))!;
    assert.equal(await runners.register("other", "iso", runnerOf("r")), null);
    live.add("iso2");
    const roots = Array.from({ length: 64 }, (_, n) => `/${String(n).repeat(1_500)}`);
    const newer = (await runners.register("u", "iso2", runnerOf("r", { roots })))!;
    assert.deepEqual([older.producerEpoch, newer.producerEpoch], [1, 2]);
    await runners.release(older);
    await assert.rejects(runners.update(older, { warnings: ["stale"] }), StaleEpochError);
    assert.equal(await runners.isolateOf("r"), "iso2");
    await runners.update(newer, { warnings: ["disk full"] });
    await registered(store, "u", registerOf("s1", { runnerId: "r" }));
    await registered(store, "u", registerOf("s2", { runnerId: "r" }));
    await registered(store, "u", registerOf("s3", { runnerId: "elsewhere" }));
    clock.now += 1_000;
    assert.deepEqual(await runners.info("u", "r"), {
      runnerId: "r",
      name: "name of r",
      roots,
      platform: "linux",
      version: "0.1.0",
      agents: [],
      sessionCount: 2,
      isConnected: true,
      lastSeenAt: clock.now,
      warnings: ["disk full"],
    });
    assert.deepEqual((await runners.liveSessionIds("u", "r")).sort(), ["s1", "s2"]);
    assert.equal(await runners.info("other", "r"), null);
    assert.deepEqual(await runners.list("other"), []);

    live.delete("iso2");
    assert.equal((await runners.list("u"))[0]?.isConnected, false);
    assert.equal(await runners.isolateOf("r"), null);
    live.add("iso2");
    await runners.release(newer);
    assert.equal((await runners.info("u", "r"))?.lastSeenAt, clock.now);
    assert.equal((await runners.info("u", "r"))?.isConnected, false);

    assert.equal(await runners.delete("other", "r"), false);
    assert.equal(await runners.delete("u", "r"), true);
    assert.equal(await runners.delete("u", "r"), false);
    assert.deepEqual((await allKeys(kv)).filter((key) => key.includes("r")), []);
    await assert.rejects(runners.update(newer, {}), StaleEpochError);
  });
});
