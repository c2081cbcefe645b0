/** SIGTERM: nothing that was acknowledged is lost, clients are told before they are closed, and nobody new is let in. */
import assert from "node:assert/strict";
import { closeCodes } from "@/protocol/mod.ts";
import { startHub } from "../support/hub.ts";
import { eventually, within } from "../support/patience.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { Peer, tryUpgrade } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";

/** Sockets are closed some ms apart, so this many make a drain that can be watched. */
const LISTS = 200;

Deno.test("SIGTERM under load: readyz turns, sockets are told and closed, what was acknowledged is there again", async (t) => {
  await using hub = await startHub({ isolates: 2, env: { PERCH_DRAIN_MS: "10000" } });
  const ready = async () => {
    const response = await fetch(`${hub.url}/readyz`);
    return { status: response.status, body: await response.json() };
  };
  const before = await ready();
  assert.deepEqual([before.status, before.body.status], [200, "ready"]);

  await using stack = new AsyncDisposableStack();
  const producers = Array.from({ length: 8 }, () => stack.use(new ScriptedProducer(hub)));
  await Promise.all(producers.map((producer) => producer.registered()));
  const lists = await Promise.all(Array.from({ length: LISTS }, () => Peer.open(hub, "hub")));
  for (const list of lists) stack.use(list);
  const runner = stack.use(await Peer.open(hub, "runner"));
  const viewer = stack.use(await Peer.open(hub, "viewer", { cookie: hub.cookie, origin: hub.url }));
  const told: number[] = [];

  let isFlooding = true;
  const flood = (async () => {
    for (let i = 0; isFlooding; i++) {
      for (const producer of producers) if (producer.lastSeq - producer.ackedSeq < 500) producer.say(`message ${i}`);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  })();
  await Promise.all(producers.map((producer) => producer.until(() => producer.ackedSeq > 200, "acks under load")));

  const ended = hub.child.stop("SIGTERM");
  await t.step("readyz says draining while healthz is well; new sockets are refused", async () => {
    const draining = await eventually(async () => {
      const { status, body } = await ready();
      return status === 503 && body;
    }, "a draining hub");
    assert.equal(draining.status, "draining");
    const refused = await tryUpgrade(hub, "/ws/hub?protocolVersion=1", {
      authorization: `Bearer ${hub.apiKey}`,
    });
    assert.deepEqual(refused, { status: 503, code: "unavailable" });
    assert.equal((await hub.health())?.status, "ok");
  });
  await t.step("every namespace hears going_away before its socket is closed with 4012", async () => {
    for (const peer of [...lists, runner, viewer]) {
      const { inMs } = await peer.next("going_away");
      told.push(inMs);
      assert.equal((await within(peer.closed, "a close")).code, closeCodes.goingAway);
    }
    assert.ok(new Set(told).size > LISTS / 4, "the closes are spread");
  });
  assert.equal((await ended).code, 0);
  isFlooding = false;
  await flood;
  assert.ok(producers.every(({ closeCode }) => closeCode !== null));
  // What the hub acknowledged by now is what it must still have.
  const acked = producers.map((producer) => producer.ackedSeq);

  await t.step("a hub that starts again has all of it, and gets the rest", async () => {
    await hub.restart();
    await Promise.all(producers.map(async (producer, i) => {
      await producer.registered();
      assert.ok(producer.ackedSeq >= acked[i]!, `acknowledged ${acked[i]}, has ${producer.ackedSeq}`);
      assert.deepEqual(producer.errors.filter(({ code }) => code !== "rate_limited"), []);
      await producer.settled();
    }));
    await using late = new ScriptedViewer(hub, producers[0]!.sessionId);
    await late.loadAll();
    const written = producers[0]!.records.map((record) => "entry" in record ? record.entry.body : null);
    assert.deepEqual(late.shown().map(({ body }) => body), written);
  });
});

Deno.test("with few connected it stops without waiting; a second signal ends a longer stop at once", async () => {
  {
    await using quiet = await startHub({ env: { PERCH_DRAIN_MS: "300000" } });
    await using list = await Peer.open(quiet, "hub");
    await quiet.stop();
    assert.equal((await within(list.closed, "a close")).code, closeCodes.goingAway);
  }
  await using hub = await startHub({ env: { PERCH_DRAIN_MS: "300000" } });
  const lists = await Promise.all(Array.from({ length: 600 }, () => Peer.open(hub, "hub")));
  const ended = hub.child.stop("SIGINT");
  await lists[0]!.next("going_away");
  assert.equal((await hub.child.stop("SIGINT")).code, 130);
  await ended;
  const closes = await Promise.all(lists.map((list) => within(list.closed, "a close")));
  assert.ok(closes.some(({ code }) => code !== closeCodes.goingAway), "it did not wait for all of them");
});
