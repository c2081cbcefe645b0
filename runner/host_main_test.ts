/** The session host as a process that is killed at random points of its stream. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ControlClient } from "./control.ts";
import { dataDir, sessionDir } from "./data_dir.ts";
import { FileLock } from "./file_lock.ts";
import { Journal } from "./journal.ts";
import { readEndedFile, writeSessionFile } from "./session_file.ts";
import { settleDead } from "./settle.ts";
import { TestHub } from "./testing/test_hub.ts";

const RECORDS = 600;
const KILLS = [40, 250, 700];

Deno.test("killed at any point of its stream and resumed, the hub's timeline equals the journal", async () => {
  const path = Deno.makeTempDirSync({ prefix: "perch-kill-" });
  await using hub = new TestHub();
  const dir = dataDir(path, {});
  const session = sessionDir(dir, "s-kill");
  writeSessionFile(session, {
    sessionId: "s-kill",
    runnerId: "r",
    cwd: path,
    launch: { agentId: "demo" },
    agent: { id: "demo", name: "Demo" },
    sessionName: null,
    startedAt: 1,
    firstPrompt: null,
  });
  const stand = hub.session("s-kill");
  const start = () =>
    new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        new URL("./testing/stream_host.ts", import.meta.url).href,
        session.path,
        path,
        String(RECORDS),
      ],
      env: { PERCH_HUB_URL: hub.url, PERCH_API_KEY: "test-key" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();

  for (const [run, killAt] of KILLS.entries()) {
    const from = stand.seq;
    const registrations = stand.registrations;
    const child = start();
    await hub.until(() => stand.registrations > registrations && stand.meta.activity === "idle", "the host to start");
    hub.command(hub.prompt(`run${run}`), `op-${run}`, "s-kill");
    await hub.until(() => stand.seq >= from + killAt, "the point of the kill");
    child.kill("SIGKILL");
    await child.status;
    if (run === 1) {
      // What the daemon does when it finds the host dead.
      const ended = await settleDead(session, { reason: "lost", at: 5 }, {
        target: () => ({ hubUrl: hub.url, apiKey: "test-key" }),
        write: () => {},
      });
      assert.deepEqual([ended?.isSettled, ended?.end.reason], [true, "lost"]);
      assert.equal(stand.end?.reason, "lost");
      compare(hub, session.journal);
    }
  }

  const registrations = stand.registrations;
  const child = start();
  await hub.until(() => stand.registrations > registrations && stand.meta.activity === "idle", "the last start");
  assert.equal(FileLock.tryTake(session.lock), null, "the host holds the session");
  using client = await ControlClient.connect(session.socket);
  assert.equal((await client.request({ type: "status" }))?.activity, "idle");
  await assert.rejects(client.request({ type: "dance" } as never), /control request: type: /);
  await client.request({ type: "stop", reason: "closed" });
  assert.equal((await child.status).code, 0);
  await client.gone;
  assert.deepEqual([readEndedFile(session)?.end.reason, readEndedFile(session)?.isSettled], ["closed", true]);
  assert.equal(stand.restarts, 0, "one log all the way");
  compare(hub, session.journal);
  Deno.removeSync(path, { recursive: true });
});

function compare(hub: TestHub, path: string): void {
  const stand = hub.session("s-kill");
  const copy = `${path}.copy`;
  Deno.copyFileSync(path, copy);
  const journal = Journal.open(copy);
  assert.equal(stand.seq, journal.index.lastSeq);
  assert.deepEqual(stand.meta, journal.index.meta);
  const entries = journal.index.timeline().map((ref) => journal.entry(ref.id));
  assert.deepEqual([...stand.entries.values()].sort((a, b) => a.index - b.index), entries);
  assert.deepEqual(
    entries.map((entry) => entry?.index),
    entries.map((_, i) => i),
    "no place is taken twice or left out",
  );
  assert.ok(entries.every((entry) => entry && !["running", "pending"].includes(entry.head.status)));
  void journal.close();
}

Deno.test("a host whose hub is away ends in time, and its end is delivered later", async () => {
  const path = Deno.makeTempDirSync({ prefix: "perch-away-" });
  const dir = dataDir(path, {});
  const session = sessionDir(dir, "../Away");
  assert.match(session.path, /sessions\/x-[0-9a-f]{32}$/, "ids cannot leave the directory");
  writeSessionFile(session, {
    sessionId: "s-away",
    runnerId: "r",
    cwd: path,
    launch: { agentId: "demo" },
    agent: { id: "demo", name: "Demo" },
    sessionName: "named",
    startedAt: 1,
    firstPrompt: { op: "op-first", text: "first", from: "Ada" },
  });
  const { runHost } = await import("./host_main.ts");
  const { ScriptedAgent } = await import("./testing/scripted_agent.ts");
  const exited = runHost({
    sessionPath: session.path,
    dataDir: dir,
    settleMs: 50,
    createAgent: (context) => {
      const agent = new ScriptedAgent(context);
      agent.nowStarted();
      queueMicrotask(() => agent.exits({ code: 1, signal: null, stderrTail: "gone" }));
      return agent;
    },
  });
  assert.equal(await exited, 0);
  assert.deepEqual([readEndedFile(session)?.end.reason, readEndedFile(session)?.isSettled], ["failed", false]);
  await using hub = new TestHub();
  const options = { target: () => ({ hubUrl: hub.url, apiKey: "test-key" }), write: () => {} };
  const ended = await settleDead(session, { reason: "lost", at: 9 }, options);
  assert.deepEqual([ended?.isSettled, ended?.end.reason], [true, "failed"]);
  const stand = hub.session("s-away");
  assert.deepEqual([stand.end?.reason, stand.meta.title, stand.register?.sessionName], ["failed", "named", "named"]);
  assert.equal(join(session.path, "journal"), session.journal);
  Deno.removeSync(path, { recursive: true });
});
