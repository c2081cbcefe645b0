/** Three hub processes on denokv are one hub: whoever is connected to which of them, everything works. */
import assert from "node:assert/strict";
import { PASSWORD } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { startRunner } from "../support/runner.ts";
import { bearer, Peer } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";
import { Cluster, clusterTest } from "./cluster.ts";
import { LatencyProbe } from "./latency.ts";

clusterTest("three processes on denokv serve hosts, viewers, runners and accounts as one", async (program, t) => {
  await using cluster = await Cluster.start(program, { peers: "direct" });
  const { front, hubs } = cluster;
  const [first, second, third] = hubs as [typeof hubs[0], typeof hubs[0], typeof hubs[0]];

  await t.step("the balancer reaches all of them", async () => {
    const isolates = new Set<string>();
    await eventually(async () => isolates.add((await front.health())?.isolate ?? "").size === 3, "three isolates");
  });

  await t.step("records, deltas, commands, presence and lists, across processes", async () => {
    await using host = new ScriptedProducer(first);
    await host.registered();
    const { sessionId } = host;
    await using near = new ScriptedViewer(first, sessionId);
    await using far = new ScriptedViewer(second, sessionId);
    await using farther = new ScriptedViewer(third, sessionId);
    const viewers = [near, far, farther];
    for (const viewer of viewers) await viewer.live();
    for (let i = 0; i < 500; i++) host.say(`message ${i}`);
    await host.settled();
    const caughtUp = () =>
      Promise.all(
        viewers.map((viewer) => viewer.until(() => viewer.timeline.cursor?.seq === host.lastSeq, "the last record")),
      );
    await caughtUp();
    for (const viewer of viewers) {
      assert.deepEqual(viewer.shown().map(({ text }) => text), Array.from({ length: 500 }, (_, i) => `message ${i}`));
      assert.equal(viewer.counts.connects, 1);
      assert.equal(viewer.counts.snapshots, 1, "all of it came live");
    }

    const { id } = host.open();
    let text = "";
    for (let i = 0; i < 200; i++) {
      host.delta(id, text.length, `word ${i} `);
      text += `word ${i} `;
    }
    await using late = new ScriptedViewer(third, sessionId);
    viewers.push(late);
    for (const viewer of viewers) await viewer.until(() => viewer.timeline.textOf(id) === text, "the open text");

    await using list = await Peer.open(second, "hub");
    const { sessions } = await list.next("sessions");
    assert.equal(sessions.length, 1);
    if (sessions[0].viewerCount !== 4) await list.next("session_status", ({ session }) => session.viewerCount === 4);
    host.patchMeta({ title: "A title from afar", activity: "waiting", attention: 1 });
    await list.next("session_status", ({ session }) => session.attention === 1);

    for (const viewer of viewers) {
      const status = await viewer.command({ kind: "rename", title: `by ${viewers.indexOf(viewer)}` });
      assert.equal(status.status, "applied");
      for (const other of viewers) {
        await other.until(() => other.statuses.get(status.op)?.status === "applied", "the receipt everywhere");
      }
    }
    assert.deepEqual(host.commands.map(({ command }) => command.title), ["by 0", "by 1", "by 2", "by 3"]);

    for (const hub of [second, third, first]) {
      const before = host.counts.registrations;
      host.moveTo(hub);
      await host.until(() => host.counts.registrations === before + 1, "the registration elsewhere");
      for (let i = 0; i < 20; i++) host.say(`after ${before} moves, ${i}`);
      await caughtUp();
    }
    await late.loadAll();
    for (const viewer of viewers) assert.deepEqual(viewer.shown(), near.shown());
    await front.api("DELETE", `/api/sessions/${sessionId}`);
    await list.next("session_removed", (message) => message.sessionId === sessionId);
    for (const viewer of viewers) await viewer.until(() => viewer.state === "deleted", "the word that it was deleted");
    await host.until(() => host.closeCode === 4013, "the host to be told");
  });

  await t.step("a real runner behind the balancer: spawning, asking, files, agents", async () => {
    await using runner = await startRunner(front, { env: { PERCH_DEMO_TOKEN_MS: "1" } });
    for (const hub of hubs) {
      const { runners } = await hub.api("GET", "/api/runners");
      assert.deepEqual(runners.map(({ name, isConnected }: Record<string, unknown>) => [name, isConnected]), [
        [runner.name, true],
      ]);
      const files = await hub.api("GET", `/api/runners/${runner.runnerId}/files?path=${runner.work}`);
      assert.equal(files.path, await Deno.realPath(runner.work));
      const { agents } = await hub.api("POST", `/api/runners/${runner.runnerId}/agents`);
      assert.ok(agents.some(({ id }: { id: string }) => id === "demo"));
    }
    for (const [i, hub] of hubs.entries()) {
      const { sessionId } = await hub.api("POST", "/api/sessions", {
        runnerId: runner.runnerId,
        cwd: runner.work,
        agent: { agentId: "demo" },
        prompt: `hello from process ${i}`,
      });
      await using asked = new ScriptedViewer(hubs[(i + 1) % 3]!, sessionId);
      await using beside = new ScriptedViewer(hubs[(i + 2) % 3]!, sessionId);
      const pending = () => asked.shown().find(({ kind, head }) => kind === "interaction" && isRunning(head));
      await asked.until(() => pending() !== undefined, "the agent's question");
      const { id, body } = pending()!;
      const { optionId } = (body as { options: { optionId: string; kind: string }[] }).options
        .find(({ kind }) => kind === "allow_once")!;
      const { status } = await asked.command({ kind: "answer", entryId: id, outcome: "selected", optionId });
      assert.equal(status, "applied");
      for (const viewer of [asked, beside]) {
        await viewer.until(
          () => viewer.timeline.meta.activity === "idle" && viewer.shown().every(({ head }) => !isRunning(head)),
          "the end of the turn",
        );
      }
      assert.deepEqual(beside.shown(), asked.shown());
      await hub.api("POST", `/api/sessions/${sessionId}/kill`, {});
      await beside.until(() => beside.info?.ended?.reason === "closed", "the end of the session");
    }
  });

  await t.step("accounts: sign-in, device login and revocation across processes", async () => {
    const signedIn = await first.fetch("/api/auth/sign-in/email", {
      method: "POST",
      body: JSON.stringify({ email: "ann@perch.test", password: PASSWORD }),
      person: { cookie: "", apiKey: "", keyId: "" },
    });
    assert.equal(signedIn.status, 200);
    await signedIn.body?.cancel();
    const cookie = signedIn.headers.getSetCookie().map((set) => set.split(";")[0]).join("; ");
    const browser = { cookie, apiKey: "", keyId: "" };
    assert.ok(await second.api("GET", "/api/account", undefined, browser));

    const { deviceCode, userCode } = await second.api("POST", "/api/device", { clientName: "a laptop" }, {
      cookie: "",
      apiKey: "",
      keyId: "",
    });
    await third.api("POST", "/api/device/approve", { userCode, approve: true });
    const { apiKey } = await first.api("POST", "/api/device/token", { deviceCode });
    await using device = await Peer.open(second, "hub", bearer(apiKey));
    await device.next("sessions");

    const { id, key } = await front.makeKey(front.person, "short-lived");
    const sockets = await Promise.all(hubs.map((hub) => Peer.open(hub, "viewer", bearer(key))));
    const browsers = await Promise.all(hubs.map((hub) => Peer.open(hub, "hub", { cookie, origin: hub.url })));
    await second.api("DELETE", `/api/keys/${id}`);
    for (const socket of sockets) assert.equal((await socket.closed).code, 4001);
    await assert.rejects(Peer.open(third, "viewer", bearer(key)));
    const signedOut = await third.fetch("/api/auth/sign-out", { method: "POST", body: "{}", person: browser });
    assert.equal(signedOut.status, 200);
    await signedOut.body?.cancel();
    for (const socket of browsers) assert.equal((await socket.closed).code, 4001);
  });

  await t.step("records reach viewers on other processes soon, also while a neighbour comes and goes", async () => {
    await using host = new ScriptedProducer(first);
    await host.registered();
    await using probe = await LatencyProbe.open(second, host.sessionId);
    await sayFor(host, probe, 300);
    console.log(`  steady: ${probe.summary()}`);
    probe.latencies.length = 0;
    const restarted = third.kill9().then(() => third.restart());
    const during = sayWhile(host, probe, restarted);
    await restarted;
    await during;
    console.log(`  while a neighbour is killed and starts again: ${probe.summary()}`);
  });
});

/** Whether an entry is still open. */
function isRunning(head: unknown): boolean {
  return (head as { status: string }).status === "running" || (head as { status: string }).status === "pending";
}

const PACE_MS = 10;

/** Says `count` things at a steady pace and waits until all have arrived. */
async function sayFor(host: ScriptedProducer, probe: LatencyProbe, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    probe.say(host);
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  }
  await eventually(() => probe.missing === 0, "the arrival of all that was said");
}

/** Says things at a steady pace until `end`. */
async function sayWhile(host: ScriptedProducer, probe: LatencyProbe, end: Promise<void>): Promise<void> {
  let isOver = false;
  end.finally(() => isOver = true).catch(() => {});
  while (!isOver) await sayFor(host, probe, 50);
}
