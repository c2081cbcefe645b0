import assert from "node:assert/strict";
import { join } from "node:path";
import type { DeliveredCommand, RunnerCommand } from "@/protocol/mod.ts";
import { RunnerCommands } from "./daemon.ts";
import { RunnerOps } from "./runner_ops.ts";
import type { SessionFile } from "./session_file.ts";
import { TerminalRefusal } from "./terminal/manager.ts";

function setUp() {
  const path = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "perch-ops-" }));
  const started: SessionFile[] = [];
  const calls: string[] = [];
  const live = new Set<string>();
  const open = (ops: RunnerOps) =>
    new RunnerCommands({
      runnerId: "r",
      roots: [path],
      ops,
      listAgents: () =>
        Promise.resolve([
          { id: "demo", name: "Demo", transport: "acp", available: true, isDemo: true },
          { id: "pi", name: "pi", transport: "pi-rpc", available: false, missing: "install pi" },
        ]),
      checkTerminalRoom: () => {
        throw new TerminalRefusal("conflict", "no room");
      },
      hosts: {
        has: (id) => live.has(id),
        sessionFile: (id) => started.find((session) => session.sessionId === id) ?? null,
        startNew: (session) => {
          started.push(session);
          live.add(session.sessionId);
          return Promise.resolve();
        },
        resume: (id) => Promise.resolve(void calls.push(`resume ${id}`)),
        stop: (id, reason) => Promise.resolve(void calls.push(`stop ${id} ${reason}`)),
        remove: (id) => Promise.resolve(void calls.push(`remove ${id}`)),
      },
      write: () => {},
    });
  return {
    path,
    file: join(path, "ops"),
    started,
    calls,
    live,
    open,
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

function delivered(op: string, command: RunnerCommand): DeliveredCommand {
  return { type: "command", op, command, from: "Ada", at: 7, expiresAt: 8 };
}

Deno.test("a command to a runner takes effect once, also over a restart", async () => {
  using t = setUp();
  const command: RunnerCommand = {
    kind: "new_session",
    sessionId: "s1",
    cwd: t.path,
    agent: { agentId: "demo" },
    prompt: "hi",
  };
  {
    using ops = RunnerOps.open(t.file);
    const commands = t.open(ops);
    const [one, two] = await Promise.all([
      commands.deliver(delivered("op-1", command)),
      commands.deliver(delivered("op-1", command)),
    ]);
    assert.deepEqual(one, { type: "command_result", op: "op-1", status: "applied" });
    assert.deepEqual(two, one);
    await commands.deliver(delivered("op-2", { kind: "resume_session", sessionId: "zz" }));
  }
  // A torn last line, as a crash leaves it.
  Deno.writeTextFileSync(t.file, "0123", { append: true });
  using ops = RunnerOps.open(t.file);
  const commands = t.open(ops);
  t.live.clear();
  assert.equal((await commands.deliver(delivered("op-1", command))).status, "applied");
  const refused = await commands.deliver(delivered("op-2", { kind: "resume_session", sessionId: "zz" }));
  assert.deepEqual([refused.status, refused.reason], ["rejected", "this runner does not have that session"]);
  assert.equal(t.started.length, 1);
  assert.deepEqual(t.started[0]?.firstPrompt, { op: "op-1", text: "hi", from: "Ada" });
  assert.deepEqual(t.started[0]?.agent, { id: "demo", name: "Demo", isDemo: true });
});

Deno.test("what cannot be started is refused with what is missing", async () => {
  using t = setUp();
  using ops = RunnerOps.open(t.file);
  const commands = t.open(ops);
  const refusals: [Partial<Extract<RunnerCommand, { kind: "new_session" }>>, RegExp][] = [
    [{ agent: { agentId: "pi" } }, /pi cannot be started here: install pi/],
    [{ agent: { agentId: "nope" } }, /no agent "nope"/],
    [{ agent: { agentId: "custom" } }, /needs a command line/],
    [{ agent: { agentId: "terminal", command: ["sh"] } }, /no room/],
    [{ cwd: join(t.path, "gone") }, /does not exist/],
    [{ cwd: "/" }, /outside this runner's roots/],
  ];
  for (const [i, [change, reason]] of refusals.entries()) {
    const command = {
      kind: "new_session",
      sessionId: "s",
      cwd: t.path,
      agent: { agentId: "demo" },
      ...change,
    } as const;
    const result = await commands.deliver(delivered(`op-${i}`, command));
    assert.equal(result.status, "rejected");
    assert.match(result.reason ?? "", reason);
  }
  assert.equal(t.started.length, 0);
  const custom = { agentId: "custom", command: ["/opt/my-agent", "--acp"] };
  await commands.deliver(delivered("ok", { kind: "new_session", sessionId: "c", cwd: t.path, agent: custom }));
  assert.deepEqual(t.started[0]?.agent, { id: "custom", name: "my-agent" });
  await commands.deliver(delivered("kill", { kind: "kill_session", sessionId: "c" }));
  await commands.deliver(delivered("again", { kind: "resume_session", sessionId: "c" }));
  assert.deepEqual(t.calls, ["stop c closed", "resume c"]);
  const stray = await commands.deliver({
    ...delivered("stray", { kind: "kill_session", sessionId: "c" }),
    command: { kind: "cancel" },
  });
  assert.match(stray.reason ?? "", /is a command for a session/);
});
