/** The demo agent as its own process, through the ACP adapter. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { memoryContext, MemorySession } from "./memory_session.ts";

const program = fileURLToPath(new URL("../../runner/agents/demo_agent.ts", import.meta.url));

async function withDemo(
  work: (
    demo: {
      agent: AcpAgent;
      session: MemorySession;
      cwd: string;
      start(resumeId?: string, tokenMs?: number): Promise<AcpAgent>;
      saved: string[];
    },
  ) => Promise<void>,
  tokenMs = 0,
): Promise<void> {
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const dataDir = await Deno.makeTempDir();
  const session = new MemorySession();
  const saved: string[] = [];
  const agents: AcpAgent[] = [];
  const start = async (resumeId?: string, ms = tokenMs) => {
    const context = memoryContext(cwd, { session, ...(resumeId === undefined ? {} : { resumeId }) });
    context.saveResumeId = (id) => void saved.push(id);
    const agent = new AcpAgent(context, {
      agentId: "demo",
      name: "Demo agent",
      command: [Deno.execPath(), "run", "-A", program],
      env: { ...context.env, PERCH_DEMO_TOKEN_MS: String(ms), PERCH_DATA_DIR: dataDir },
      startTimeoutMs: 30_000,
    });
    agents.push(agent);
    await agent.start();
    return agent;
  };
  try {
    const agent = await start();
    await work({ agent, session, cwd, start, saved });
  } finally {
    for (const agent of agents) await agent.stop();
    await Deno.remove(cwd, { recursive: true });
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("a turn shows thought, plan, tools, diff, permission, text and usage, and the file is on disk", async () => {
  await withDemo(async ({ agent, session, cwd, saved }) => {
    assert.equal(session.meta().models.length, 2);
    assert.equal(session.meta().mode?.currentModeId, "ask");
    assert.equal(saved.length, 1);
    const turn = agent.prompt({ text: "hello perch", attachments: [] });
    const asked = await session.pendingInteraction();
    assert.equal(asked.head.attention, true);
    const tool = session.entry<"tool_call">(asked.body.toolEntryId ?? "");
    assert.equal(tool?.head.toolKind, "edit");
    const allow = asked.body.options.find((option) => option.kind === "allow_once");
    await agent.answer({
      kind: "answer",
      entryId: asked.id,
      outcome: "selected",
      optionId: allow?.optionId ?? "",
      op: "1",
      by: "Ann",
    });
    assert.deepEqual(await turn, { outcome: "completed" });
    assert.deepEqual(session.openEntryIds(), []);
    const kinds = session.timeline().map((entry) => entry.kind);
    assert.deepEqual(kinds, [
      "thought",
      "agent_message",
      "tool_call",
      "agent_message",
      "tool_call",
      "interaction",
      "agent_message",
    ]);
    const written = session.of("tool_call")[1];
    assert.equal(written?.head.status, "completed");
    assert.equal(written?.body.content[0]?.type, "diff");
    assert.match(await Deno.readTextFile(join(cwd, "perch-demo.md")), /1\. hello perch\n$/);
    assert.ok(session.meta().plan.every((entry) => entry.status === "completed"));
    assert.ok((session.meta().usage?.contextTokens ?? 0) > 1_000);
    assert.equal(session.meta().title, "Demo: hello perch");
    assert.ok(session.meta().commands.some((command) => command.name === "long"));
    assert.match(session.text(), /```ts\n/);
    assert.rejects(
      agent.answer({ kind: "answer", entryId: asked.id, outcome: "cancelled", op: "2", by: "Bob" }),
      /Ann has already answered this request with "Allow once"/,
    );
  });
});

Deno.test("a rejected change is not made, and a foreign file is never touched", async () => {
  await withDemo(async ({ agent, session, cwd }) => {
    await Deno.writeTextFile(join(cwd, "perch-demo.md"), "mine\n");
    const turn = agent.prompt({ text: "hello", attachments: [] });
    const asked = await session.pendingInteraction();
    await agent.answer({ kind: "answer", entryId: asked.id, outcome: "selected", optionId: "no", op: "1", by: "Ann" });
    assert.equal((await turn).outcome, "completed");
    assert.equal(session.of("tool_call")[1]?.head.status, "failed");
    assert.deepEqual([...Deno.readDirSync(cwd)].map((file) => file.name), ["perch-demo.md"]);
    assert.equal(await Deno.readTextFile(join(cwd, "perch-demo.md")), "mine\n");
    await agent.configure({ kind: "set_mode", modeId: "auto" });
    assert.equal(session.meta().mode?.currentModeId, "auto");
    assert.equal((await agent.prompt({ text: "again", attachments: [] })).outcome, "completed");
    assert.equal(await Deno.readTextFile(join(cwd, "perch-demo.md")), "mine\n");
    assert.match(await Deno.readTextFile(join(cwd, "perch-demo-2.md")), /1\. again/);
  });
});

Deno.test("cancel with an open permission ends turn and interaction; cancel in mid-stream ends the message", async () => {
  await withDemo(async ({ agent, session }) => {
    const turn = agent.prompt({ text: "hello", attachments: [] });
    const asked = await session.pendingInteraction();
    await agent.cancel();
    assert.equal((await turn).outcome, "cancelled");
    assert.equal(session.entry(asked.id)?.head.status, "cancelled");
    assert.deepEqual(session.openEntryIds(), []);
    await assert.rejects(
      agent.answer({ kind: "answer", entryId: asked.id, outcome: "cancelled", op: "2", by: "Bob" }),
      /withdrawn/,
    );
  });
  await withDemo(async ({ agent, session }) => {
    const turn = agent.prompt({ text: "long", attachments: [] });
    await session.until("some text", () => session.text().length > 20);
    await agent.cancel();
    assert.equal((await turn).outcome, "cancelled");
    assert.deepEqual(session.openEntryIds(), []);
    assert.ok(session.text().length < 4_000);
  }, 5);
});

Deno.test("fail ends with an error notice; set_model and unknown values", async () => {
  await withDemo(async ({ agent, session }) => {
    await agent.configure({ kind: "set_model", modelId: "demo/thoughtful" });
    assert.equal(session.meta().model?.id, "demo/thoughtful");
    await assert.rejects(agent.configure({ kind: "set_model", modelId: "gpt" }), /not a value of Model/);
    await assert.rejects(agent.configure({ kind: "compact" }), /compacts by itself/);
    const end = await agent.prompt({ text: "fail", attachments: [] });
    assert.equal(end.outcome, "failed");
    assert.match(session.of("notice")[0]?.body.text ?? "", /529/);
    assert.equal(session.of("tool_call")[0]?.body.exitCode, 127);
    await agent.configure({ kind: "new_conversation" });
    assert.equal((await agent.prompt({ text: "help", attachments: [] })).outcome, "completed");
  });
});

Deno.test("a loaded session remembers and does not repeat its history in the timeline", async () => {
  await withDemo(async ({ agent, session, start, saved }) => {
    await agent.prompt({ text: "help", attachments: [] });
    await agent.stop();
    const before = session.timeline().length;
    const again = await start(saved[0]);
    assert.equal(session.timeline().length, before);
    await again.prompt({ text: "plan", attachments: [] });
    assert.equal(session.timeline().length, before + 1);
    await again.stop();
    await start("00000000-0000-0000-0000-000000000000");
    assert.match(session.of("notice")[0]?.body.text ?? "", /could not continue/);
  });
});

Deno.test("an agent that cannot start says why with its stderr; one that dies while it works fails the turn", async () => {
  const cwd = await Deno.makeTempDir();
  const make = (context: ReturnType<typeof memoryContext>, command: string[]) =>
    new AcpAgent(context, { agentId: "custom", name: "Broken", command, env: context.env, startTimeoutMs: 20_000 });
  const dying = make(memoryContext(cwd), ["sh", "-c", "echo no key here >&2; exit 7"]);
  await assert.rejects(dying.start(), (error: Error & { stderrTail?: string }) => {
    assert.equal(error.name, "AgentStartError");
    assert.match(error.message, /ended before it answered \(exit code 7\)/);
    assert.match(error.stderrTail ?? "", /no key here/);
    return true;
  });
  assert.equal((await dying.exited).code, 7);
  // The error of start comes first, for it says more than the exit.
  const order: string[] = [];
  const other = make(memoryContext(cwd), ["sh", "-c", "exit 7"]);
  other.exited.then(() => order.push("exited"));
  await other.start().catch(() => order.push("start"));
  await other.exited;
  assert.deepEqual(order, ["start", "exited"]);
  await assert.rejects(make(memoryContext(cwd), ["/nowhere/agent"]).start(), /could not be started/);
  await Deno.remove(cwd, { recursive: true });
});
