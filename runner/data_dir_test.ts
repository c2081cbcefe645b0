import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { ControlClient, ControlServer, type HostStatus } from "./control.ts";
import { dataDir, sessionDir, SOCKET_PATH_BYTES } from "./data_dir.ts";

Deno.test("the option comes before the environment, the environment before the home directory", () => {
  assert.equal(dataDir("/a", { PERCH_DATA_DIR: "/b" }).path, "/a");
  assert.equal(dataDir(undefined, { PERCH_DATA_DIR: "/b" }).path, "/b");
  assert.match(dataDir(undefined, { PERCH_DATA_DIR: "" }).path, /\.perch$/);
});

Deno.test("whatever a session is called, its directory lies in the sessions' and is its own", () => {
  const dir = dataDir("/d", {});
  const ids = ["..", ".", "a", "A", "a:b", "a@b", "x".repeat(128), "con.", "0b6f-1"];
  const paths = ids.map((id) => sessionDir(dir, id).path);
  assert.equal(new Set(paths.map((path) => path.toLowerCase())).size, ids.length);
  for (const path of paths) assert.equal(dirname(path), dir.sessions);
  assert.equal(sessionDir(dir, "0b6f-1").path, join(dir.sessions, "0b6f-1"));
});

Deno.test("a control socket works under a data directory with a long path, for its owner alone", async () => {
  const base = Deno.makeTempDirSync({ prefix: "perch-long-" });
  const dir = sessionDir(dataDir(join(base, "d".repeat(120)), {}), "s1");
  assert.ok(new TextEncoder().encode(dir.socket).length <= SOCKET_PATH_BYTES);
  assert.ok(!dir.socket.startsWith(base));
  const status: HostStatus = { sessionId: "s1", pid: 1, activity: "idle", isRegistered: true, lastSeq: 2, ackedSeq: 1 };
  {
    using _server = new ControlServer(dir.socket, (request) => {
      if (request.type === "stop") throw new Error("not now");
      return Promise.resolve(status);
    });
    assert.equal((Deno.statSync(dir.socket).mode ?? 0) & 0o777, 0o600);
    assert.equal((Deno.statSync(dirname(dir.socket)).mode ?? 0) & 0o077, 0);
    using client = await ControlClient.connect(dir.socket);
    const answers = Promise.all([client.request({ type: "status" }), client.request({ type: "status" })]);
    assert.deepEqual(await answers, [status, status]);
    await assert.rejects(client.request({ type: "stop", reason: "closed" }), /not now/);
  }
  await assert.rejects(ControlClient.connect(dir.socket));
  Deno.removeSync(base, { recursive: true });
});
