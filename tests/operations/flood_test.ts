/** A peer or user that sends too much is told so with a typed error, and loses nothing that it kept. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Peer as TestPeer, register, startHub as startTestHub, type TestHub } from "@/lib/gateway/testing.ts";
import { startSession } from "@/lib/hub_sessions.ts";
import type { Principal } from "@/lib/principal.ts";
import type { Bounds } from "@/lib/rate_limit.ts";
import { closeCodes, limits, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { Journal } from "@/runner/journal.ts";
import { RelayLink } from "@/runner/relay_link.ts";
import { SessionLog } from "@/runner/session_log.ts";
import { type HubAddress, startHub } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { Peer } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";

async function boundedHub(kv: Deno.Kv, bounds: Partial<Bounds>): Promise<TestHub> {
  return await startTestHub(kv, (store) => store, { bounds });
}

function addressOf({ host }: TestHub): HubAddress {
  return { host, url: `http://${host}`, person: { cookie: "session=ann", apiKey: "key-ann", keyId: "k" } };
}

Deno.test("a real host that floods pauses when it is told to, and everything arrives exactly once and in order", async () => {
  const RECORDS = 4_000;
  const directory = await Deno.makeTempDir({ prefix: "perch-flood-" });
  using kv = await Deno.openKv(":memory:");
  await using hub = await boundedHub(kv, { relayBurstMessages: 500, relayMessagesPerS: 3_000 });
  const log = new SessionLog({ sessionId: "s1", journal: Journal.open(join(directory, "journal")) });
  const pauses: string[] = [];
  using link = new RelayLink({
    sessionId: "s1",
    log,
    describe: () => ({
      runnerId: "r1",
      cwd: "/w",
      sessionName: null,
      agent: { id: "demo", name: "Demo" },
      startedAt: 1,
    }),
    target: () => ({ hubUrl: `http://${hub.host}`, apiKey: "key-ann" }),
    write: (_level, message) => pauses.push(message),
  });
  link.connect();
  await eventually(() => link.isRegistered, "the registration");
  await using viewer = new ScriptedViewer(addressOf(hub), "s1");
  await viewer.live();
  const id = "streamed";
  log.upsert({ id, kind: "agent_message", head: { status: "running", startedAt: 1 }, body: { text: "" } });
  let text = "";
  for (let i = 0; i < RECORDS; i++) {
    log.upsert({
      id: `entry-${i}`,
      kind: "agent_message",
      head: { status: "completed", startedAt: 1, endedAt: 2 },
      body: { text: `text ${i}` },
    });
    log.append(id, `word ${i} `);
    text += `word ${i} `;
    if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.ok(await log.settled(AbortSignal.timeout(30_000)), `settled (${pauses.at(-1)})`);
  await viewer.until(() => viewer.timeline.cursor?.seq === log.lastSeq, "the last record");
  await viewer.until(() => viewer.timeline.textOf(id) === text, "the streamed text");
  await viewer.loadAll();
  assert.deepEqual(
    viewer.shown().filter((entry) => entry.id !== id).map((entry) => entry.text),
    Array.from({ length: RECORDS }, (_, i) => `text ${i}`),
  );
  assert.ok(pauses.some((message) => message.includes("rate_limited")), "it was limited");
  assert.ok(!pauses.some((message) => message.includes("connection to the hub is gone")), pauses.join("\n"));
  assert.ok(hub.hub.counters.get("messages_dropped", "rate_limited") > 0);
  assert.equal(hub.hub.counters.get("records_committed"), log.lastSeq);
  await log.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a host that does not wait is told the rest, and one that sends on and on is closed", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await boundedHub(kv, {
    relayBurstBytes: 10_000,
    relayBytesPerS: 1_000,
    relayIgnoredBytes: 100_000,
  });
  await using host = await TestPeer.open(hub, "relay", "ann");
  const registration = register("s1");
  host.send(registration);
  const { epoch } = await host.next("registered");
  const delta = { type: "delta", sessionId: "s1", epoch, entryId: "e", at: 0, text: "x".repeat(12_000) };
  host.send(delta);
  host.send(delta);
  const limited = await host.next("error");
  assert.deepEqual([limited.code, limited.sessionId], ["rate_limited", "s1"]);
  assert.ok(limited.retryAfterMs > 2_000, String(limited.retryAfterMs));
  host.send(registration);
  const again = await host.next("error");
  assert.equal(again.code, "rate_limited");
  assert.ok(again.retryAfterMs <= limited.retryAfterMs);
  // Exactly as many as are put up with, and one: what is on its way to a closed socket would break the closing handshake.
  for (let i = 0; i < 9; i++) host.send(delta);
  assert.equal((await host.closed).code, closeCodes.protocolError);
});

Deno.test("a user at a cap is told which, what is there goes on working, and others are not touched", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await boundedHub(kv, { userSockets: 6, userSessions: 2, userRunners: 1, tooManyRetryMs: 7_000 });
  const openHost = async (sessionId: string, user = "ann") => {
    const host = await TestPeer.open(hub, "relay", user);
    host.send(register(sessionId));
    return host;
  };
  const registerRunner = (runnerId: string) => ({
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId,
    name: "box",
    roots: ["/work"],
    agents: [],
    version: "1.0.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  });
  await using one = await openHost("s1");
  await one.next("registered");
  await using two = await openHost("s2");
  await two.next("registered");
  await using three = await openHost("s3");
  const refused = await three.next("error");
  assert.deepEqual([refused.code, refused.sessionId, refused.retryAfterMs], ["rate_limited", "s3", 7_000]);
  assert.match(refused.message, /2 sessions, and may have 2/);
  two.send(register("s2"));
  await two.next("registered");

  await using runner = await TestPeer.open(hub, "runner", "ann");
  runner.send(registerRunner("r1"));
  await runner.next("runner_registered");
  const ann: Principal = { userId: "ann", userName: "Ann", credential: { kind: "key", id: "k" } };
  const launch = { runnerId: "r1", cwd: "/work", agent: { agentId: "custom", command: ["true"] } };
  await assert.rejects(startSession(hub.hub.gateways.context, ann, launch), {
    name: "GatewayError",
    code: "rate_limited",
  });
  await using second = await TestPeer.open(hub, "runner", "ann");
  second.send(registerRunner("r2"));
  assert.deepEqual((await second.next("error")).code, "rate_limited");

  await using list = await TestPeer.open(hub, "hub", "ann");
  await list.next("sessions");
  await assert.rejects(TestPeer.open(hub, "hub", "ann"), /429|Invalid status/);
  await using bob = await openHost("b1", "bob");
  await bob.next("registered");
  await list[Symbol.asyncDispose]();
  await eventually(
    () => TestPeer.open(hub, "hub", "ann").then((peer) => peer[Symbol.asyncDispose]().then(() => true), () => false),
    "room for a socket",
  );
});

Deno.test("commands of a user and requests of a viewer have a rate; a refused command is not stored", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await boundedHub(kv, {
    userBurstCommands: 3,
    userCommandsPerS: 1,
    viewerBurstRequests: 2,
    viewerRequestsPerS: 1,
  });
  await using host = await TestPeer.open(hub, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  await using viewer = await TestPeer.open(hub, "viewer", "ann");
  for (let i = 0; i < 4; i++) {
    viewer.send({ type: "command", op: `op-${i}`, sessionId: "s1", command: { kind: "cancel" } });
  }
  const refused = await viewer.next("error");
  assert.deepEqual([refused.code, refused.ref, refused.sessionId], ["rate_limited", "op-3", "s1"]);
  assert.ok(refused.retryAfterMs > 0);
  const { inbox } = hub.store;
  for (let i = 0; i < 3; i++) await eventually(() => inbox.status("session:s1", `op-${i}`), `the stored op-${i}`);
  assert.equal(await inbox.status("session:s1", "op-3"), null);
  for (let generation = 1; generation <= 3; generation++) {
    viewer.send({ type: "switch_session", sessionId: "s1", generation });
  }
  const unread = await viewer.next("error", ({ ref }) => ref === "3");
  assert.equal(unread.code, "rate_limited");
  await viewer.next("connected", ({ generation }) => generation === 2);
});

Deno.test("with the real bounds a flood of deltas is limited, and a neighbour works meanwhile", async () => {
  await using hub = await startHub();
  await using flooder = await Peer.open(hub, "relay");
  flooder.send(register("flooder"));
  const { epoch } = await flooder.next("registered");
  await using neighbour = await Peer.open(hub, "relay");
  neighbour.send(register("neighbour"));
  await neighbour.next("registered");
  const frame = Array.from({ length: limits.messagesPerFrame }, (_, i) => ({
    type: "delta",
    sessionId: "flooder",
    epoch,
    entryId: "e",
    at: i,
    text: "x",
  }));
  const frames = Math.ceil(limits.relayBurstMessages / limits.messagesPerFrame) * 2;
  for (let i = 0; i < frames; i++) flooder.socket.send(JSON.stringify(frame));
  const { code, retryAfterMs } = await flooder.next("error", ({ code }) => code === "rate_limited");
  assert.equal(code, "rate_limited");
  assert.ok(retryAfterMs >= 1_000);
  neighbour.send({ type: "ping", at: 5 });
  await neighbour.next("pong");
});
