/** Recorded streams of real ACP agents through the whole adapter, over real stdio. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AgentContext } from "@/runner/agents/agent.ts";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { objectOf, stringOf } from "@/runner/agents/read.ts";
import { acpRuns, type Line, transcriptNames } from "./transcript.ts";
import { cancelPoint, promptText } from "./replay_player.ts";
import { expectedOf } from "./acp_expected.ts";
import { memoryContext, MemorySession } from "./memory_session.ts";

const replayAgent = fileURLToPath(new URL("./replay_agent.ts", import.meta.url));

/** Does what the recording client did: prompts, answers, cancels. Returns the outcome of each turn. */
async function drive(
  agent: AcpAgent,
  context: AgentContext & { session: MemorySession },
  lines: Line[],
  waitLog: (text: string) => Promise<void>,
): Promise<string[]> {
  const answers = lines.filter((line) => line.dir === "out" && line.msg.method === "session/request_permission").map(
    (request) =>
      objectOf(
        objectOf(
          lines.find((line) => line.dir === "in" && line.msg.method === undefined && line.msg.id === request.msg.id)
            ?.msg.result,
        ).outcome,
      ),
  );
  const answered = new Set<string>();
  const stopAnswering = new AbortController();
  const answering = (async () => {
    while (!stopAnswering.signal.aborted) {
      const find = () => context.session.of("interaction").find((entry) => !answered.has(entry.id));
      await context.session.until(
        "an interaction or the end",
        () => stopAnswering.signal.aborted || find() !== undefined,
        120_000,
      );
      const entry = find();
      if (!entry) return;
      const outcome = answers[answered.size];
      answered.add(entry.id);
      if (stringOf(outcome?.outcome) !== "selected") continue;
      await agent.answer({
        kind: "answer",
        entryId: entry.id,
        outcome: "selected",
        optionId: String(outcome?.optionId),
        op: `op-${answered.size}`,
        by: "Ann",
      });
    }
  })();
  const outcomes: string[] = [];
  let cancels = 0;
  const asked = lines.filter((line) =>
    line.dir === "in" && (line.msg.method === "session/prompt" || line.msg.method === "session/cancel")
  );
  for (const [place, line] of asked.entries()) {
    if (line.msg.method !== "session/prompt") continue;
    const turn = agent.prompt({ text: promptText(line.msg), attachments: [] });
    if (asked[place + 1]?.msg.method === "session/cancel") {
      await waitLog(cancelPoint(cancels++));
      await agent.cancel();
    }
    outcomes.push((await turn).outcome);
  }
  stopAnswering.abort();
  context.session.patchMeta({});
  await answering;
  return outcomes;
}

for (const name of transcriptNames().filter((name) => !name.startsWith("pi-") || name.startsWith("pi-acp"))) {
  for (const [place, run] of acpRuns(name).entries()) {
    Deno.test(`replay of ${name}, ${run.method} (${place})`, async () => {
      const folder = await Deno.makeTempDir();
      try {
        const file = join(folder, "replay.json");
        await Deno.writeTextFile(file, JSON.stringify(run.lines));
        const session = new MemorySession();
        const context = memoryContext(folder, {
          session,
          ...(run.method === "session/new" ? {} : { resumeId: run.sessionId }),
        });
        const waitLog = (text: string) => session.until(text, () => context.logs.some((line) => line.includes(text)));
        const log = context.log;
        context.log = (level, message, fields) => {
          log(level, message, fields);
          session.patchMeta({});
        };
        const agent = new AcpAgent(context, {
          agentId: "custom",
          name: "Replay",
          command: [Deno.execPath(), "run", "-A", replayAgent, file],
          env: context.env,
          startTimeoutMs: 30_000,
        });
        await agent.start();
        const outcomes = await drive(agent, context, run.lines, waitLog);
        await agent.stop();
        const expected = expectedOf(run.lines);
        assert.deepEqual(session.openEntryIds(), []);
        assert.equal(session.of("agent_message").map((entry) => entry.body.text).join(""), expected.messages);
        assert.equal(session.of("thought").map((entry) => entry.body.text).join(""), expected.thoughts);
        assert.equal(session.of("interaction").length, expected.permissions);
        const tools = session.of("tool_call");
        assert.deepEqual(tools.map((tool) => tool.body.toolCallId), [...expected.tools.keys()]);
        for (const tool of tools) {
          const want = expected.tools.get(tool.body.toolCallId);
          const status = want?.status === "completed" || want?.status === "failed" ? want.status : "cancelled";
          assert.equal(tool.head.status, status, `status of ${tool.body.toolCallId}`);
          assert.equal(tool.body.output, want?.output, `output of ${tool.body.toolCallId}`);
          assert.equal(tool.body.content.filter((content) => content.type === "diff").length, want?.diffs);
          assert.equal(tool.body.input !== undefined, want?.hasInput, `input of ${tool.body.toolCallId}`);
        }
        for (const interaction of session.of("interaction")) {
          assert.ok(session.entry(interaction.body.toolEntryId ?? "")?.kind === "tool_call");
        }
        const replies = run.lines.filter((line) =>
          line.dir === "out" && line.msg.method === undefined && objectOf(line.msg.result).stopReason !== undefined
        )
          .map((line) => objectOf(line.msg.result).stopReason === "cancelled" ? "cancelled" : "completed");
        assert.deepEqual(outcomes, replies);
        assert.deepEqual(context.saved, run.method === "session/new" ? [run.sessionId] : []);
        // Copilot's stream lists no models, the others do.
        assert.equal(session.meta().models.length > 0, !name.startsWith("copilot"));
        assert.ok(session.meta().mode !== null);
        assert.ok(session.meta().commands.length > 0);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    });
  }
}
