import assert from "node:assert/strict";
import { join } from "node:path";
import type { SessionEnd } from "@/protocol/mod.ts";
import { dataDir, sessionDir } from "./data_dir.ts";
import { ControlClient } from "./control.ts";
import { HostTable } from "./host_table.ts";
import type { SelfCommand } from "./self_command.ts";
import { readEndedFile } from "./session_file.ts";
import { TestHub } from "./testing/test_hub.ts";

/** A table whose hosts are real processes (testing/stream_host.ts). */
function setUp(hub: TestHub, hostCommand?: (path: string) => SelfCommand) {
  const path = Deno.makeTempDirSync({ prefix: "perch-table-" });
  const dir = dataDir(path, {});
  const ended: [string, SessionEnd["reason"]][] = [];
  const target = { hubUrl: hub.url, apiKey: "test-key" };
  const table = new HostTable({
    dataDir: dir,
    hostCommand: hostCommand ?? ((sessionPath) => ({
      program: Deno.execPath(),
      args: [
        "run",
        "-A",
        "--quiet",
        new URL("./testing/stream_host.ts", import.meta.url).href,
        sessionPath,
        path,
        "10",
      ],
    })),
    env: { ...Deno.env.toObject(), PERCH_HUB_URL: hub.url, PERCH_API_KEY: "test-key" },
    target: () => target,
    write: () => {},
    onEnded: (sessionId, end) => ended.push([sessionId, end.reason]),
    hostStopMs: 2_000,
  });
  const start = (sessionId: string) =>
    table.startNew({
      sessionId,
      runnerId: "r",
      cwd: path,
      launch: { agentId: "demo" },
      agent: { id: "demo", name: "Demo" },
      sessionName: null,
      startedAt: 1,
      firstPrompt: null,
    });
  const pidOf = async (sessionId: string): Promise<number> => {
    using client = await ControlClient.connect(sessionDir(dir, sessionId).socket);
    return (await client.request({ type: "status" }))?.pid ?? 0;
  };
  return {
    path,
    dir,
    table,
    ended,
    start,
    pidOf,
    async [Symbol.asyncDispose]() {
      await table.stopAll("runner_stopped");
      table.close();
      Deno.removeSync(path, { recursive: true });
    },
  };
}

Deno.test("a host that hangs is killed when its session is ended, and its journal is delivered all the same", async () => {
  await using hub = new TestHub();
  await using t = setUp(hub);
  await t.start("s-hang");
  const stand = hub.session("s-hang");
  await hub.until(() => stand.meta.activity === "idle", "the host to start");
  Deno.kill(await t.pidOf("s-hang"), "SIGSTOP");
  await t.table.stop("s-hang", "closed");
  assert.deepEqual(t.ended, [["s-hang", "closed"]]);
  assert.equal(t.table.has("s-hang"), false);
  await hub.until(() => stand.end, "the end to be settled");
  assert.equal(stand.meta.ended?.reason, "closed");
  assert.match(stand.end?.detail ?? "", /did not end by itself/);
});

Deno.test("a session that was deleted on the hub leaves nothing behind", async () => {
  await using hub = new TestHub();
  await using t = setUp(hub);
  await t.start("s-gone");
  const stand = hub.session("s-gone");
  await hub.until(() => stand.meta.activity === "idle", "the host to start");
  using watch = await ControlClient.connect(sessionDir(t.dir, "s-gone").socket);
  stand.socket?.send(JSON.stringify({ type: "session_expired", sessionId: "s-gone" }));
  await watch.gone;
  await t.table.stop("s-gone", "closed");
  assert.deepEqual([...Deno.readDirSync(t.dir.sessions)], []);
});

Deno.test("what was deleted while nobody could be told is removed on demand, with its host or without", async () => {
  await using hub = new TestHub();
  await using t = setUp(hub);
  await t.start("s-live");
  await t.start("s-over");
  await hub.until(() => hub.session("s-over").meta.activity === "idle", "the hosts to start");
  assert.deepEqual(t.table.storedIds(), []);
  await t.table.stop("s-over", "closed");
  await hub.until(() => hub.session("s-over").end, "the end to be settled");
  assert.deepEqual(t.table.storedIds(), ["s-over"]);
  await t.table.remove("s-over");
  await t.table.remove("s-live");
  await t.table.remove("../s-never");
  assert.equal(t.table.has("s-live"), false);
  assert.deepEqual([...Deno.readDirSync(t.dir.sessions)], []);
});

Deno.test("a host that cannot be started says why, and the session is told as ended", async () => {
  await using hub = new TestHub();
  await using t = setUp(hub, () => ({ program: "sh", args: ["-c", "echo cannot open the thing >&2; exit 3"] }));
  await assert.rejects(t.start("s-bad"), /the session's process did not start: cannot open the thing/);
  assert.deepEqual(t.ended, [["s-bad", "lost"]]);
  assert.equal(t.table.has("s-bad"), false);
  await hub.until(() => hub.session("s-bad").end, "the end to be told");
});

Deno.test("two tables cannot host one session; the second adopts what the first left", async () => {
  await using hub = new TestHub();
  await using t = setUp(hub);
  await t.start("s-one");
  const pid = await t.pidOf("s-one");
  t.table.close();
  const ended: string[] = [];
  const second = new HostTable({
    dataDir: t.dir,
    hostCommand: () => ({ program: "false", args: [] }),
    env: {},
    target: () => null,
    write: () => {},
    onEnded: (sessionId) => ended.push(sessionId),
  });
  await second.adopt();
  assert.deepEqual(second.liveIds(), ["s-one"]);
  assert.equal(await t.pidOf("s-one"), pid);
  await second.stop("s-one", "closed");
  assert.deepEqual(ended, ["s-one"]);
  assert.equal(readEndedFile(sessionDir(t.dir, "s-one"))?.isSettled, true);
  assert.equal(join(t.path, "sessions"), t.dir.sessions);
  second.close();
});
