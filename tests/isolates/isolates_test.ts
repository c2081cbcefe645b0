/** Two isolates of one hub process on one port: whoever is connected where, it is one hub. */
import assert from "node:assert/strict";
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { startHub } from "../support/hub.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { IsolateProxy, isolatesOf } from "../support/isolate_proxy.ts";
import { bearer, Peer } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";

Deno.test("with PERCH_ISOLATES=2 everything works between a host and viewers on different isolates", async (t) => {
  await using hub = await startHub({ isolates: 2 });
  const [first, second] = await isolatesOf(hub, 2) as [string, string];
  await using here = new IsolateProxy(hub, first);
  await using there = new IsolateProxy(hub, second);
  await using host = new ScriptedProducer(here);
  await host.registered();
  const { sessionId } = host;
  await using near = new ScriptedViewer(here, sessionId);
  await using far = new ScriptedViewer(there, sessionId);
  await near.live();
  await far.live();
  const caughtUp = (viewer: ScriptedViewer) =>
    viewer.until(() => viewer.timeline.cursor?.seq === host.lastSeq, "the last record");

  await t.step("records, in order, once", async () => {
    for (let i = 0; i < 500; i++) host.say(`message ${i}`);
    await host.settled();
    for (const viewer of [near, far]) {
      await caughtUp(viewer);
      assert.deepEqual(viewer.shown().map(({ text }) => text), Array.from({ length: 500 }, (_, i) => `message ${i}`));
      assert.equal(viewer.counts.connects, 1);
    }
    assert.equal(far.counts.snapshots, 1, "the far viewer got all of it live");
  });

  await t.step("deltas", async () => {
    const { id } = host.open();
    let text = "";
    for (let i = 0; i < 200; i++) {
      host.delta(id, text.length, `word ${i} `);
      text += `word ${i} `;
    }
    for (const viewer of [near, far]) await viewer.until(() => viewer.timeline.textOf(id) === text, "the whole text");
    await using late = new ScriptedViewer(there, sessionId);
    await late.until(() => late.timeline.textOf(id) === text, "the open text in a late viewer");
    const open = host.records.at(-1)!;
    assert.ok("entry" in open);
    host.write({
      ...open.entry,
      head: { status: "completed", startedAt: 1, endedAt: 2, textLength: text.length },
      body: { text },
    });
    for (const viewer of [near, far, late]) {
      await caughtUp(viewer);
      assert.equal(viewer.timeline.textOf(id), text);
    }
  });

  await t.step("commands and their receipts, seen by every viewer", async () => {
    const status = await far.command({ kind: "rename", title: "From afar" });
    assert.equal(status.status, "applied");
    assert.equal(host.commands.at(-1)?.command.title, "From afar");
    await near.until(() => near.statuses.get(status.op)?.status === "applied", "the receipt beside the host");
    const other = await near.command({ kind: "cancel" });
    await far.until(() => far.statuses.get(other.op)?.status === "applied", "the receipt far from the host");
  });

  await t.step("the status and the lists", async () => {
    await using list = await Peer.open(there, "hub");
    const { sessions } = await list.next("sessions");
    assert.equal(sessions.length, 1);
    // Viewers of both isolates count. One that has just left may still be counted: then a status follows.
    if (sessions[0].viewerCount !== 2) await list.next("session_status", ({ session }) => session.viewerCount === 2);
    host.patchMeta({ title: "A new title", activity: "waiting", attention: 1 });
    await list.next("session_status", ({ session }) => session.attention === 1 && session.activity === "waiting");
    await far.until(() => far.timeline.meta.title === "A new title", "the new title");
    await using other = new ScriptedProducer(here);
    await other.registered();
    await list.next("session_added", ({ session }) => session.sessionId === other.sessionId);
    await hub.api("DELETE", `/api/sessions/${other.sessionId}`);
    await list.next("session_removed", (message) => message.sessionId === other.sessionId);
    await other.until(() => other.closeCode === 4013, "the deleted session's host to be told");
  });

  await t.step("calls to a runner, whichever isolate asks", async () => {
    await using runner = await Peer.open(here, "runner");
    await registerRunner(runner);
    const serving = answerFiles(runner, 4);
    await using list = await Peer.open(there, "runners");
    await list.next("runners", ({ runners }) => runners.some((info: { isConnected: boolean }) => info.isConnected));
    for (const isolate of [here, there, here, there]) {
      const response = await fetch(`${isolate.url}/api/runners/far-runner/files?path=/work/src`, {
        headers: bearer(hub.apiKey),
      });
      assert.equal(response.status, 200);
      assert.equal((await response.json()).path, "/work/src");
    }
    await serving;
  });

  await t.step("a reload and a lost connection resume where they were", async () => {
    far.dropConnection();
    await far.until(() => far.timeline.phase === "detached", "the break");
    for (let i = 0; i < 50; i++) host.say(`while away ${i}`);
    await caughtUp(far);
    assert.equal(far.counts.snapshots, 1, "it asked for what it had not seen, and for no more");
    assert.equal(far.counts.resumes, 1);
    await using reloaded = new ScriptedViewer(there, sessionId);
    await reloaded.loadAll();
    await caughtUp(reloaded);
    assert.deepEqual(reloaded.shown(), far.shown());
    assert.deepEqual(reloaded.timeline.meta, far.timeline.meta);
  });

  await t.step("a host that comes back on the other isolate", async () => {
    host.moveTo(there);
    await host.until(() => host.counts.registrations === 2, "the second registration");
    for (let i = 0; i < 50; i++) host.say(`after the move ${i}`);
    await host.settled();
    for (const viewer of [near, far]) {
      await caughtUp(viewer);
      assert.equal(viewer.shown().at(-1)?.text, "after the move 49");
    }
    assert.deepEqual(near.shown(), far.shown());
  });

  await t.step("a key that is revoked on one isolate closes sockets on the other", async () => {
    const { id, key } = await hub.makeKey(hub.person, "short-lived");
    await using one = await Peer.open(here, "viewer", bearer(key));
    await using two = await Peer.open(there, "viewer", bearer(key));
    await hub.api("DELETE", `/api/keys/${id}`);
    assert.equal((await one.closed).code, 4001);
    assert.equal((await two.closed).code, 4001);
  });
  await hub.stop();
});

async function registerRunner(runner: Peer): Promise<void> {
  runner.send({
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId: "far-runner",
    name: "Far",
    roots: ["/work"],
    agents: [],
    version: "0.1.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  });
  await runner.next("runner_registered");
}

/** Answers the next `count` questions for a folder. */
async function answerFiles(runner: Peer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { requestId, path } = await runner.next("list_files");
    runner.send({ type: "file_result", requestId, ok: true, path, entries: [], isTruncated: false });
  }
}
