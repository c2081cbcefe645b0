/** The runner as real processes: supervisor, daemon and session hosts against a small hub. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { closeCodes, type DeliveredCommand } from "@/protocol/mod.ts";
import { readConfig } from "./config.ts";
import { dataDir, sessionDir } from "./data_dir.ts";
import { ControlClient } from "./control.ts";
import { selfCommand, selfOptions } from "./self_command.ts";
import { exitCodes, runningRunner } from "./supervisor.ts";
import { TestHub } from "./testing/test_hub.ts";

/** A started runner with directories of its own; disposing ends whatever of it still lives. */
class TestRunner {
  readonly path = Deno.makeTempDirSync({ prefix: "perch-run-" });
  readonly dir = dataDir(join(this.path, "data"), {});
  readonly work = join(this.path, "work");
  readonly #sessionIds = new Set<string>();
  #child: Deno.ChildProcess | null = null;
  /** All that the last started runner wrote to stderr, once it has ended. */
  stderr: Promise<string> = Promise.resolve("");

  constructor(readonly hub: TestHub) {
    Deno.mkdirSync(this.work);
  }

  start(env: Record<string, string> = { PERCH_API_KEY: "test-key" }): Deno.ChildProcess {
    const { program, args } = selfCommand(
      [
        "runner",
        ...["--hub", this.hub.url, "--root", this.work, "--data-dir", this.dir.path, "--name", "test runner"],
        "--exit-with-stdin",
      ],
      selfOptions(),
    );
    const child = new Deno.Command(program, {
      args,
      env: { PERCH_API_KEY: "", ...env },
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#child = child;
    this.stderr = new Response(child.stderr).text();
    return child;
  }

  /** Starts a session with the demo agent and waits until it is idle or waits for a person. */
  async newSession(sessionId: string, prompt?: string): Promise<void> {
    const command: DeliveredCommand["command"] = {
      kind: "new_session",
      sessionId,
      cwd: this.work,
      agent: { agentId: "demo" },
      ...(prompt === undefined ? {} : { prompt }),
    };
    const receipt = await this.hub.ask(command, `new-${sessionId}`);
    assert.equal(receipt.status, "applied", receipt.reason);
    this.#sessionIds.add(sessionId);
    await this.hub.until(() => this.hub.session(sessionId).meta.activity !== "starting", `${sessionId} to start`);
  }

  async hostStatus(sessionId: string) {
    using client = await ControlClient.connect(sessionDir(this.dir, sessionId).socket);
    const status = await client.request({ type: "status" });
    assert.ok(status);
    return status;
  }

  daemonPid(): number {
    const pid = runningRunner(this.dir)?.daemonPid;
    assert.ok(pid, "a daemon runs");
    return pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child?.kill("SIGTERM");
    } catch {
      // It ended already.
    }
    await this.#child?.status;
    await this.#child?.stdin.close().catch(() => {});
    await this.stderr;
    for (const sessionId of this.#sessionIds) {
      // Whoever still answers there is a host of this test.
      const host = await this.hostStatus(sessionId).catch(() => null);
      if (host) Deno.kill(host.pid, "SIGKILL");
    }
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("a session is started, prompted and stopped with its runner; a second runner is refused", async () => {
  await using hub = new TestHub();
  await using runner = new TestRunner(hub);
  const child = runner.start();
  await hub.until(() => hub.runner, "the runner to register");
  assert.equal(hub.runner?.name, "test runner");
  assert.deepEqual(hub.runner?.roots, [Deno.realPathSync(runner.work)]);
  assert.ok(hub.runner?.agents.some((agent) => agent.id === "demo" && agent.isDemo));

  const { program, args } = selfCommand(
    ["runner", "--hub", hub.url, "--data-dir", runner.dir.path],
    selfOptions(),
  );
  const second = await new Deno.Command(program, { args, env: { PERCH_API_KEY: "test-key" } }).output();
  assert.equal(second.code, exitCodes.alreadyRunning);
  assert.match(new TextDecoder().decode(second.stderr), /a runner already runs on .* \(process \d+\)/);

  await runner.newSession("s-one", "hello there");
  const session = hub.session("s-one");
  await hub.until(() => session.entries.get("msg-new-s-one"), "the first prompt's message");
  await hub.until(() => session.meta.title?.includes("hello there"), "a title from the prompt or the agent");
  assert.equal((await hub.ask({ kind: "rename", title: "mine" }, "op-rename", "s-one")).status, "applied");
  await hub.until(() => session.meta.title === "mine", "the title");

  const again = await hub.ask(
    { kind: "new_session", sessionId: "s-one", cwd: runner.work, agent: { agentId: "demo" } },
    "new-s-one",
  );
  assert.equal(again.status, "applied", "a repeated delivery gets the same receipt");
  const outside = await hub.ask(
    { kind: "new_session", sessionId: "s-two", cwd: "/etc", agent: { agentId: "demo" } },
    "op-outside",
  );
  assert.equal(outside.status, "rejected");
  assert.match(outside.reason ?? "", /path "\/etc" is outside this runner's roots .*--root/);

  child.kill("SIGTERM");
  assert.equal((await child.status).code, 0);
  await hub.until(() => session.end, "the session's end");
  assert.equal(session.end?.reason, "runner_stopped");
  assert.equal(session.meta.ended?.reason, "runner_stopped");
  assert.equal(session.meta.activity, "ended");
  assert.ok([...session.entries.values()].every((entry) => !["pending", "running"].includes(entry.head.status)));
});

Deno.test("a killed daemon comes back and adopts the session that lived on; a killed host is told as lost", async () => {
  await using hub = new TestHub();
  await using runner = new TestRunner(hub);
  const orphan = runner.start();
  await hub.until(() => hub.runner, "the runner to register");
  await runner.newSession("s-live");
  const before = await runner.hostStatus("s-live");

  // Whoever started the runner is gone: the runner leaves, the session stays, the next runner adopts it.
  await orphan.stdin.close();
  assert.equal((await orphan.status).code, 0);
  assert.equal((await runner.hostStatus("s-live")).pid, before.pid);
  runner.start();
  await hub.until(() => hub.runnerRegistrations === 2, "the next runner");
  assert.deepEqual(hub.runner?.sessionIds, ["s-live"]);

  Deno.kill(runner.daemonPid(), "SIGKILL");
  await hub.until(() => hub.runnerRegistrations === 3, "the daemon to come back");
  assert.deepEqual(hub.runner?.sessionIds, ["s-live"], "adopted");
  assert.equal((await runner.hostStatus("s-live")).pid, before.pid, "the host lived on");
  assert.equal(hub.session("s-live").registrations, 1);

  Deno.kill(before.pid, "SIGKILL");
  await hub.until(() => hub.killed.get("s-live"), "the death to be told");
  assert.equal(hub.killed.get("s-live")?.reason, "lost");
  const session = hub.session("s-live");
  await hub.until(() => session.end, "the journal to be settled");
  assert.equal(session.meta.ended?.reason, "lost");
  assert.ok([...session.entries.values()].some((entry) => entry.kind === "notice"));

  const resumed = await hub.ask({ kind: "resume_session", sessionId: "s-live" }, "op-resume");
  assert.equal(resumed.status, "applied", resumed.reason);
  await hub.until(() => session.meta.ended === null && session.meta.activity === "idle", "the session to live again");
  assert.equal((await hub.ask({ kind: "kill_session", sessionId: "s-live" }, "op-kill")).status, "applied");
  assert.equal(session.meta.ended?.reason, "closed");
  assert.equal(session.end?.reason, "closed");
});

Deno.test("a runner that is beside a new hub gets its key by itself; a revoked key ends it with what to do", async () => {
  const answers = [202, 202, 200];
  await using hub = new TestHub({
    fetch: async (request) => {
      assert.deepEqual([new URL(request.url).pathname, await request.json()], ["/api/device/enroll", {
        token: "once",
      }]);
      const status = answers.shift() ?? 403;
      return Response.json(status === 200 ? { apiKey: "test-key", userName: "Ada" } : {}, { status });
    },
  });
  await using runner = new TestRunner(hub);
  const child = runner.start({ PERCH_ENROLLMENT: "once" });
  await hub.until(() => hub.runner, "the runner to register");
  assert.deepEqual(readConfig(runner.dir.config).hubs, { [hub.url]: { apiKey: "test-key", userName: "Ada" } });
  assert.equal((Deno.statSync(runner.dir.config).mode ?? 0) & 0o777, 0o600);

  hub.runnerSocket?.close(closeCodes.unauthorized, "revoked");
  assert.equal((await child.status).code, exitCodes.giveUp);
  assert.match(await runner.stderr, /does not accept this runner's key any more; run perch login http:/);
});
