/** pi 1.5.2 from npm, under Deno, against the scripted model server. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PiAgent } from "@/runner/agents/pi.ts";
import { ensureAgent } from "./install.ts";
import { memoryContext, MemorySession } from "./memory_session.ts";
import { doneText, errors, ModelServer, replyText, thoughtText } from "./model_server.ts";

interface Rig {
  agent: PiAgent;
  session: MemorySession;
  cwd: string;
  server: ModelServer;
  saved: string[];
  start(resumeId?: string): Promise<PiAgent>;
}

async function withPi(work: (rig: Rig) => Promise<void>, args: string[] = []): Promise<void> {
  const command = [...await ensureAgent("pi"), "--provider", "perch", "--model", "perch-1", ...args];
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const home = await Deno.makeTempDir();
  const server = new ModelServer();
  await Deno.writeTextFile(
    join(home, "models.json"),
    JSON.stringify({
      providers: {
        perch: {
          baseUrl: server.url,
          api: "openai-completions",
          apiKey: "none",
          models: [
            { id: "perch-1", input: ["text", "image"], contextWindow: 200_000, maxTokens: 8192 },
            { id: "perch-2", input: ["text"], contextWindow: 100_000, maxTokens: 8192, reasoning: true },
          ],
        },
      },
    }),
  );
  const session = new MemorySession();
  const saved: string[] = [];
  const agents: PiAgent[] = [];
  const start = async (resumeId?: string) => {
    const env = { ...Deno.env.toObject(), PI_CODING_AGENT_DIR: home, PI_OFFLINE: "1", HOME: home, NO_COLOR: "1" };
    const context = memoryContext(cwd, {
      session,
      env,
      agentId: "pi",
      ...(resumeId === undefined ? {} : { resumeId }),
    });
    context.saveResumeId = (id) => void saved.push(id);
    const agent = new PiAgent(context, { name: "pi", command, env, startTimeoutMs: 60_000 });
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

Deno.test("pi: models, text, tools with files on disk, diff, exit code, usage, resume", async () => {
  await withPi(async ({ agent, session, cwd, saved, start, server }) => {
    assert.deepEqual(session.meta().models.map((model) => model.id), ["perch-1", "perch-2"]);
    assert.equal(session.meta().model?.id, "perch-1");
    assert.deepEqual(await agent.prompt(ask("[[text]] hello")), { outcome: "completed" });
    assert.equal(session.text(), replyText);
    assert.deepEqual(await agent.prompt(ask("[[shell]] make it")), { outcome: "completed" });
    assert.equal(await Deno.readTextFile(join(cwd, "hello.txt")), "perch-was-here\n");
    const shell = session.of("tool_call")[0];
    assert.equal(shell?.head.status, "completed");
    assert.equal(shell?.body.exitCode, 0);
    assert.match(shell?.body.output ?? "", /perch-was-here/);
    await agent.prompt(ask("[[write]] notes"));
    await agent.prompt(ask("[[edit]] notes"));
    assert.equal(await Deno.readTextFile(join(cwd, "notes.md")), "# Notes\n\nsecond line\n");
    const edit = session.of("tool_call")[2];
    assert.deepEqual(edit?.body.content, [{
      type: "diff",
      path: "notes.md",
      oldText: "first line",
      newText: "second line",
    }]);
    await agent.prompt(ask("[[fail]] now"));
    const failed = session.of("tool_call")[3];
    assert.equal(failed?.head.status, "failed");
    assert.equal(failed?.body.exitCode, 3);
    assert.match(session.text(), new RegExp(`${doneText}$`));
    assert.deepEqual(session.openEntryIds(), []);
    await session.until("usage", () => (session.meta().usage?.output ?? 0) > 0);
    assert.ok((session.meta().usage?.contextTokens ?? 0) > 0);
    await agent.configure({ kind: "set_model", modelId: "perch-2" });
    assert.equal(session.meta().model?.id, "perch-2");
    assert.ok((session.meta().thinkingLevel?.levels.length ?? 0) > 1);
    await agent.configure({ kind: "set_thinking_level", level: "high" });
    await agent.prompt(ask("[[think]] please"));
    assert.equal(session.of("thought")[0]?.body.text, thoughtText);
    await agent.stop();
    const before = session.timeline().length;
    const again = await start(saved.at(-1));
    assert.equal(session.timeline().length, before);
    await again.prompt(ask("[[text]] once more"));
    assert.ok(JSON.stringify(server.requests.at(-1)?.messages).includes("[[think]] please"));
    await again.configure({ kind: "new_conversation" });
    await again.prompt(ask("[[text]] afresh"));
    assert.ok(!JSON.stringify(server.requests.at(-1)?.messages).includes("[[think]] please"));
  });
});

Deno.test("pi: cancel in mid-text and in mid-command, then it works on", async () => {
  await withPi(async ({ agent, session, server }) => {
    const long = agent.prompt(ask("[[long]] go"));
    await session.until("text", () => session.text().length > 50);
    await agent.cancel();
    assert.deepEqual(await long, { outcome: "cancelled" });
    const sleep = agent.prompt(ask("[[sleep]] go"));
    await session.until("output", () => (session.of("tool_call")[0]?.body.output ?? "").includes("tick 1"));
    await agent.steer(ask("[[text]] and look at this"));
    await agent.cancel();
    assert.deepEqual(await sleep, { outcome: "cancelled" });
    assert.notEqual(session.of("tool_call")[0]?.head.status, "running");
    assert.deepEqual(session.openEntryIds(), []);
    assert.deepEqual(await agent.prompt(ask("[[text]] still there?")), { outcome: "completed" });
    assert.ok(server.requests.length >= 3);
  });
});

Deno.test("pi: a steering message reaches the running turn", async () => {
  await withPi(async ({ agent, session, server }) => {
    const turn = agent.prompt(ask("[[shell]] go"));
    await session.until("a message", () => session.text() !== "");
    await agent.steer(ask("[[text]] change of plan"));
    assert.deepEqual(await turn, { outcome: "completed" });
    assert.ok(JSON.stringify(server.requests.at(-1)?.messages).includes("change of plan"));
  });
});

Deno.test("pi: 401 is an error in the timeline, 429 twice is a retry that recovers, a cut stream can be cancelled", async () => {
  await withPi(async ({ agent, session }) => {
    const end = await agent.prompt(ask("[[e401]] go"));
    assert.equal(end.outcome, "failed");
    assert.match(session.of("notice")[0]?.body.text ?? "", new RegExp(errors.e401));
    assert.equal(session.of("notice")[0]?.body.level, "error");
    assert.deepEqual(await agent.prompt(ask("[[e429]] go")), { outcome: "completed" });
    const retries = session.log.flatMap((item) =>
      item.type === "meta" && item.patch.retry ? item.patch.retry.attempt : []
    );
    assert.deepEqual(retries, [1, 2]);
    assert.equal(session.meta().retry, null);
    assert.equal(session.text(), replyText);
    // Under Deno pi does not notice that a stream was cut (under Node it retries; see the recording): a cancel must still work.
    const cut = agent.prompt(ask("[[cut]] go"));
    await session.until("the first words", () => session.of("agent_message").length === 2);
    await agent.cancel();
    assert.deepEqual(await cut, { outcome: "cancelled" });
    assert.equal(session.of("notice").length, 1);
  });
});

Deno.test("pi: a permission dialog of an extension, allowed, denied and cancelled", async () => {
  const gate = fileURLToPath(new URL("./gate_extension.ts", import.meta.url));
  await withPi(async ({ agent, session, cwd }) => {
    const hello = join(cwd, "hello.txt");
    for (const [kind, exists] of [["reject_once", false], ["allow_once", true]] as const) {
      const turn = agent.prompt(ask(`[[shell]] ${kind}`));
      const asked = await session.pendingInteraction();
      assert.equal(asked.body.interaction, "permission");
      assert.equal(session.entry(asked.body.toolEntryId ?? "")?.kind, "tool_call");
      const option = asked.body.options.find((candidate) => candidate.kind === kind);
      await agent.answer({
        kind: "answer",
        entryId: asked.id,
        outcome: "selected",
        optionId: option?.optionId ?? "",
        op: kind,
        by: "Ann",
      });
      assert.deepEqual(await turn, { outcome: "completed" });
      assert.equal(await Deno.stat(hello).then(() => true, () => false), exists);
    }
    assert.deepEqual(session.of("tool_call").map((tool) => tool.head.status), ["failed", "completed"]);
    const turn = agent.prompt(ask("[[shell]] third"));
    const asked = await session.pendingInteraction();
    await agent.cancel();
    assert.deepEqual(await turn, { outcome: "cancelled" });
    assert.equal(session.entry(asked.id)?.head.status, "cancelled");
  }, ["-e", gate]);
});
