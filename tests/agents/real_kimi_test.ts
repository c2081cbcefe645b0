/** Kimi Code 2.1.0 from npm, under Deno, over ACP against the scripted model server. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { ensureAgent } from "./install.ts";
import { memoryContext, MemorySession } from "./memory_session.ts";
import { doneText, ModelServer, replyText } from "./model_server.ts";

interface Rig {
  agent: AcpAgent;
  session: MemorySession;
  cwd: string;
  server: ModelServer;
  saved: string[];
  start(resumeId?: string): Promise<AcpAgent>;
}

async function withKimi(work: (rig: Rig) => Promise<void>): Promise<void> {
  const command = await ensureAgent("kimi");
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const home = await Deno.makeTempDir();
  const server = new ModelServer();
  await Deno.mkdir(join(home, ".kimi-code"));
  await Deno.writeTextFile(
    join(home, ".kimi-code", "config.toml"),
    [
      'default_model = "perch/perch-1"',
      "[providers.perch]",
      'type = "openai"',
      `base_url = "${server.url}"`,
      'api_key = "none"',
      '[models."perch/perch-1"]',
      'provider = "perch"',
      'model = "perch-1"',
      'display_name = "Perch One"',
      "max_context_size = 200000",
      "",
    ].join("\n"),
  );
  const session = new MemorySession();
  const saved: string[] = [];
  const agents: AcpAgent[] = [];
  const start = async (resumeId?: string) => {
    const env = { ...Deno.env.toObject(), HOME: home, NO_COLOR: "1" };
    const context = memoryContext(cwd, {
      session,
      env,
      agentId: "kimi",
      ...(resumeId === undefined ? {} : { resumeId }),
    });
    context.saveResumeId = (id) => void saved.push(id);
    const agent = new AcpAgent(context, { agentId: "kimi", name: "Kimi Code", command, env, startTimeoutMs: 60_000 });
    agents.push(agent);
    await agent.start();
    return agent;
  };
  try {
    await work({ agent: await start(), session, cwd, server, saved, start });
  } finally {
    for (const agent of agents) await agent.stop();
    await server.close();
    await Deno.remove(cwd, { recursive: true });
    await Deno.remove(home, { recursive: true });
  }
}

const ask = (text: string) => ({ text, attachments: [] });

async function answer(agent: AcpAgent, session: MemorySession, kind: "allow_once" | "reject_once"): Promise<void> {
  const asked = await session.pendingInteraction();
  assert.equal(session.entry(asked.body.toolEntryId ?? "")?.kind, "tool_call");
  const option = asked.body.options.find((candidate) => candidate.kind === kind);
  assert.ok(option, `an option of kind ${kind}`);
  await agent.answer({
    kind: "answer",
    entryId: asked.id,
    outcome: "selected",
    optionId: option.optionId,
    op: asked.id,
    by: "Ann",
  });
}

Deno.test("Kimi: models, modes, text, permission allowed and denied, file on disk, resume", async () => {
  await withKimi(async ({ agent, session, cwd, saved, start, server }) => {
    assert.deepEqual(session.meta().models.map((model) => model.id), ["perch/perch-1"]);
    assert.equal(session.meta().mode?.currentModeId, "default");
    assert.deepEqual(await agent.prompt(ask("[[text]] hello")), { outcome: "completed" });
    assert.equal(session.text(), replyText);

    const denied = agent.prompt(ask("[[shell]] no"));
    await answer(agent, session, "reject_once");
    assert.deepEqual(await denied, { outcome: "completed" });
    assert.equal(session.of("tool_call")[0]?.head.status, "failed");
    assert.deepEqual([...Deno.readDirSync(cwd)], []);

    const allowed = agent.prompt(ask("[[shell]] yes"));
    await answer(agent, session, "allow_once");
    assert.deepEqual(await allowed, { outcome: "completed" });
    const shell = session.of("tool_call")[1];
    assert.equal(shell?.head.status, "completed");
    assert.match(shell?.body.output ?? "", /perch-was-here/);
    assert.equal(await Deno.readTextFile(join(cwd, "hello.txt")), "perch-was-here\n");
    assert.match(session.text(), new RegExp(`${doneText}$`));
    assert.deepEqual(session.openEntryIds(), []);
    assert.equal(session.of("interaction").length, 2);

    await agent.configure({ kind: "set_mode", modeId: "plan" });
    assert.equal(session.meta().mode?.currentModeId, "plan");
    await agent.stop();
    const before = session.timeline().length;
    const again = await start(saved.at(-1));
    assert.equal(session.timeline().length, before);
    await again.prompt(ask("[[text]] once more"));
    assert.ok(JSON.stringify(server.requests.at(-1)?.messages).includes("[[shell]] yes"));
  });
});

Deno.test("Kimi: cancel in mid-text and with an open permission, then it works on", async () => {
  await withKimi(async ({ agent, session }) => {
    const long = agent.prompt(ask("[[long]] go"));
    await session.until("text", () => session.text().length > 50);
    await agent.cancel();
    assert.deepEqual(await long, { outcome: "cancelled" });
    const shell = agent.prompt(ask("[[shell]] go"));
    const asked = await session.pendingInteraction();
    await agent.cancel();
    assert.deepEqual(await shell, { outcome: "cancelled" });
    assert.equal(session.entry(asked.id)?.head.status, "cancelled");
    assert.deepEqual(session.openEntryIds(), []);
    assert.deepEqual(await agent.prompt(ask("[[text]] still there?")), { outcome: "completed" });
  });
});

Deno.test("Kimi: 401 fails the turn with a notice, 429 twice recovers", async () => {
  await withKimi(async ({ agent, session }) => {
    const end = await agent.prompt(ask("[[e401]] go"));
    assert.equal(end.outcome, "failed");
    assert.equal(session.of("notice")[0]?.body.level, "error");
    assert.notEqual(session.of("notice")[0]?.body.text, "");
    assert.deepEqual(await agent.prompt(ask("[[e429]] go")), { outcome: "completed" });
    assert.equal(session.text(), replyText);
  });
});
