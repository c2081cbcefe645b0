/** Sockets that lie: half open, registered twice, gone at one end only; and a hub that dies under more than it can take. */
import assert from "node:assert/strict";
import { limits, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { HubSocket } from "@/runner/hub_socket.ts";
import { randomOf } from "../faults/steps.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { type HubAddress, type HubProcess, startHub } from "../support/hub.ts";
import { within } from "../support/patience.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { Peer } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";
import { Cluster, clusterTest } from "./cluster.ts";

Deno.test("both sides find out by their heartbeat that a socket fell silent", async () => {
  await using hub = await startHub();
  await using proxy = new FaultProxy(() => hub.port);
  const through: HubAddress = { host: proxy.host, url: proxy.url, person: hub.person };
  const host = new ScriptedProducer(through);
  try {
    await host.registered();
    const { sessionId } = host;
    await using list = await Peer.open(hub, "hub");
    const opened = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<string>();
    using socket = new HubSocket({
      path: "/ws/runner",
      target: () => ({ hubUrl: proxy.url, apiKey: hub.apiKey }),
      handlers: {
        onOpen: () => opened.resolve(),
        onFrame() {},
        onClose: (reason) => closed.resolve(reason),
        onRefused() {},
      },
    });
    socket.restart();
    await opened.promise;
    const startedMs = performance.now();
    // The proxy takes everything and says nothing: to both kernels all is well.
    proxy.swallow("up", "down");
    const afterS = () => ((performance.now() - startedMs) / 1_000).toFixed(1);
    const [hubSaw, runnerSaw] = await Promise.all([
      list.next("session_status", ({ session }) => session.sessionId === sessionId && !session.isActive).then(afterS),
      within(closed.promise, "the runner's end of the silence").then((reason) => {
        assert.match(reason, /silent/);
        return afterS();
      }),
    ]);
    console.log(
      `  found after ${hubSaw} s by the hub and ${runnerSaw} s by the runner (${limits.silenceMs / 1_000} s)`,
    );
  } finally {
    proxy.breakAll();
    await host[Symbol.asyncDispose]();
  }
});

clusterTest("of two registrations of one host the newer wins, on whichever process", async (program) => {
  await using cluster = await Cluster.start(program);
  const [first, second, third] = cluster.hubs as [HubProcess, HubProcess, HubProcess];
  await using host = new ScriptedProducer(first);
  await host.registered();
  const { sessionId, logId } = host;
  await using viewer = new ScriptedViewer(third, sessionId);
  await viewer.live();
  for (let i = 0; i < 100; i++) host.say(`by the first ${i}`);
  await host.settled();
  await using twin = await Peer.open(second, "relay");
  twin.send({
    type: "register",
    protocolVersion: PROTOCOL_VERSION,
    sessionId,
    runnerId: "scripted-runner",
    logId,
    lastSeq: host.lastSeq,
    cwd: "/work",
    sessionName: null,
    agent: { id: "custom", name: "Scripted" },
    startedAt: 1,
  });
  // Sent by the older socket while the newer takes over: it counts only if it was acknowledged.
  for (let i = 0; i < 50; i++) host.say(`in between ${i}`);
  const { epoch, ackedSeq } = await twin.next("registered");
  await host.until(() => host.closeCode === 4009, "the close of the older socket");
  assert.equal(epoch, host.epoch, "it is the same log");
  assert.ok(ackedSeq >= host.ackedSeq, `acknowledged ${host.ackedSeq}, known ${ackedSeq}`);
  for (let i = 0; i < 50; i++) host.say(`by the second ${i}`);
  const rest = host.records.slice(ackedSeq).map((record, i) => ({
    type: "event",
    sessionId,
    epoch,
    seq: ackedSeq + 1 + i,
    ...record,
  }));
  for (const record of rest) twin.send(record);
  // Again, as a host does that lost its connection right after.
  for (const record of rest) twin.send(record);
  await twin.next("event_ack", ({ seq }) => seq === host.lastSeq);
  await viewer.until(() => viewer.timeline.cursor?.seq === host.lastSeq, "the last record");
  await viewer.loadAll();
  const texts = [["by the first", 100], ["in between", 50], ["by the second", 50]] as const;
  const expected = texts.flatMap(([text, count]) => Array.from({ length: count }, (_, i) => `${text} ${i}`));
  assert.deepEqual(viewer.shown().map(({ text }) => text), expected);
});

Deno.test("a hub that is killed under more than it can take has all that it acknowledged, and serves at once again", async () => {
  const given = Deno.env.get("PERCH_FAULT_SEED");
  const seed = given === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given);
  const random = randomOf(seed);
  await using hub = await startHub();
  await using things = new AsyncDisposableStack();
  const hosts = Array.from({ length: 10 }, () => things.use(new ScriptedProducer(hub)));
  await Promise.all(hosts.map((host) => host.registered()));
  for (const host of hosts) for (let i = 0; i < 3_000; i++) host.say(`${i} ${"x".repeat(300)}`);
  const written = 3_000 * hosts.length;
  const killAt = Math.floor(written * (0.1 + 0.5 * random()));
  const acked = () => hosts.reduce((sum, host) => sum + host.ackedSeq, 0);
  await Promise.race(hosts.map((host) => host.until(() => acked() >= killAt, `${killAt} acknowledged records`)));
  await hub.kill9();
  const before = hosts.map((host) => host.ackedSeq);
  const startedMs = performance.now();
  await hub.restart();
  const upMs = performance.now() - startedMs;
  await Promise.all(hosts.map((host) => host.until(() => host.counts.registrations === 2, "the registration")));
  const servedMs = performance.now() - startedMs - upMs;
  hosts.forEach((host, i) =>
    assert.ok(host.ackedSeq >= before[i]!, `had acknowledged ${before[i]}, has ${host.ackedSeq}`)
  );
  for (const host of hosts) {
    await host.settled();
    await using viewer = new ScriptedViewer(hub, host.sessionId);
    await viewer.loadAll();
    assert.deepEqual(
      viewer.shown().map(({ text }) => text.split(" ")[0]),
      Array.from({ length: 3_000 }, (_, i) => `${i}`),
    );
  }
  console.log(
    `  seed ${seed}: killed at ${killAt} of ${written}; all hosts registered ${
      servedMs.toFixed(0)
    } ms after it listened again`,
  );
});
