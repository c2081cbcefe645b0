import assert from "node:assert/strict";
import { listFolder, refreshAgents } from "@/lib/hub_runners.ts";
import { killSession, startSession } from "@/lib/hub_sessions.ts";
import type { Principal } from "@/lib/principal.ts";
import { closeCodes, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { attachViewer, Peer, register, startHub } from "./testing.ts";

const ann: Principal = { userId: "ann", userName: "ANN", credential: { kind: "key", id: "k" } };
const bob: Principal = { ...ann, userId: "bob" };
const demo = { id: "demo", name: "Demo agent", transport: "acp", available: true, isDemo: true };

function registerRunner(runnerId: string) {
  return {
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId,
    name: "box",
    roots: ["/work"],
    agents: [demo],
    version: "1.0.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  };
}

async function openRunner(hub: { host: string }, runnerId = "runner-1", user = "ann"): Promise<Peer> {
  const runner = await Peer.open(hub, "runner", user);
  runner.send(registerRunner(runnerId));
  return runner;
}

Deno.test("a runner gets its sessions, shows in the list, and belongs to its first user", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using list = await Peer.open(hub, "runners", "ann");
  assert.deepEqual((await list.next("runners")).runners, []);
  const runner = await openRunner(hub);
  assert.deepEqual((await runner.next("runner_registered")).existingSessions, []);
  const { runner: added } = await list.next("runner_added");
  assert.deepEqual([added.runnerId, added.isConnected], ["runner-1", true]);
  runner.send({ type: "runner_update", warnings: ["low disk"] });
  await list.next("runner_updated", ({ runner }) => runner.warnings[0] === "low disk");
  await using thief = await openRunner(hub, "runner-1", "bob");
  assert.equal((await thief.next("error")).code, "not_found");
  await runner[Symbol.asyncDispose]();
  await list.next("runner_updated", ({ runner }) => !runner.isConnected);
});

Deno.test("questions reach a runner on another isolate; an offline, foreign or refusing one gives a typed error", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  const runner = await openRunner(near);
  await runner.next("runner_registered");
  const { context } = far.hub.gateways;
  const folder = listFolder(context, ann, "runner-1", { path: "/work", directoriesOnly: true });
  const question = await runner.next("list_files");
  assert.deepEqual([question.path, question.directoriesOnly], ["/work", true]);
  const { requestId } = question;
  const entries = [{ name: "src", kind: "directory" }];
  runner.send({ type: "file_result", requestId, ok: true, path: "/work", entries });
  assert.deepEqual(await folder, { path: "/work", entries, isTruncated: false });

  const refused = assert.rejects(listFolder(context, ann, "runner-1", { path: "/etc", directoriesOnly: false }), {
    code: "conflict",
    message: "/etc is outside the roots",
  });
  const { requestId: second } = await runner.next("list_files");
  runner.send({ type: "file_result", requestId: second, ok: false, error: "/etc is outside the roots" });
  await refused;

  const agents = refreshAgents(context, ann, "runner-1");
  const { requestId: third } = await runner.next("list_agents");
  runner.send({ type: "agents_list", requestId: third, agents: [demo] });
  assert.equal((await agents).length, 1);

  await assert.rejects(refreshAgents(context, bob, "runner-1"), { code: "not_found" });
  const left = assert.rejects(listFolder(context, ann, "runner-1", { path: "", directoriesOnly: false }), {
    code: "unavailable",
  });
  await runner.next("list_files");
  await runner[Symbol.asyncDispose]();
  await left;
  await assert.rejects(refreshAgents(context, ann, "runner-1"), { code: "unavailable" });
});

Deno.test("a new session waits for its runner; rejected, it ends as failed and its viewers know why", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { context } = hub.hub.gateways;
  await assert.rejects(
    startSession(context, ann, { runnerId: "runner-1", cwd: "/work", agent: { agentId: "demo" } }),
    { code: "not_found" },
  );
  const first = await openRunner(hub);
  await first.next("runner_registered");
  await first[Symbol.asyncDispose]();
  const wanted = { runnerId: "runner-1", cwd: "/work", agent: { agentId: "demo" }, prompt: "hi" };
  await assert.rejects(startSession(context, ann, { ...wanted, agent: { agentId: "none" } }), {
    code: "invalid_message",
    field: "agent.agentId",
  });
  while ((await hub.store.runners.info("ann", "runner-1"))?.isConnected) await new Promise((r) => setTimeout(r, 1));
  const started = await startSession(context, ann, wanted);
  assert.equal(started.runnerConnected, false);
  await using viewer = await attachViewer(hub, started.sessionId);
  await using runner = await openRunner(hub);
  const { existingSessions } = await runner.next("runner_registered");
  assert.deepEqual(existingSessions, [started.sessionId]);
  const { command } = await runner.next("command");
  assert.deepEqual([command.kind, command.sessionId, command.prompt], ["new_session", started.sessionId, "hi"]);
  runner.send({ type: "command_result", op: started.op, status: "rejected", reason: "no such folder" });
  const status = await viewer.next("command_status");
  assert.deepEqual([status.status, status.reason, status.op], ["rejected", "no such folder", started.op]);
  const { session } = await viewer.next("session_status", ({ session }) => session.ended !== null);
  assert.deepEqual([session.ended.reason, session.ended.detail], ["failed", "no such folder"]);
});

Deno.test("the daemon speaks for hosts that died, but only for its own sessions", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using runner = await openRunner(hub);
  await runner.next("runner_registered");
  const host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  await using list = await Peer.open(hub, "hub", "ann");
  await list.next("sessions");
  await host[Symbol.asyncDispose]();
  const end = { reason: "lost", at: 9 };
  runner.send({ type: "session_killed", sessionId: "s1", end });
  await list.next("session_status", ({ session }) => session.ended?.reason === "lost");
  await using foreign = await openRunner(hub, "runner-2", "bob");
  await foreign.next("runner_registered");
  foreign.send({ type: "session_killed", sessionId: "s1", end });
  assert.equal((await foreign.next("error")).code, "not_found");
});

Deno.test("killing a session is a command to its runner", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using runner = await openRunner(hub);
  await runner.next("runner_registered");
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  const status = await killSession(hub.hub.gateways.context, ann, "s1", "op-k");
  assert.equal(status.status, "accepted");
  assert.deepEqual((await runner.next("command")).command, { kind: "kill_session", sessionId: "s1" });
  await assert.rejects(killSession(hub.hub.gateways.context, bob, "s1", "op-k"), { code: "not_found" });
});

Deno.test("a newer daemon of the same runner closes the older one's socket", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using older = await openRunner(near);
  await older.next("runner_registered");
  await using newer = await openRunner(far);
  await newer.next("runner_registered");
  assert.equal((await older.closed).code, closeCodes.replaced);
  assert.equal((await near.store.runners.info("ann", "runner-1"))?.isConnected, true);
});
