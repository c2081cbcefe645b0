/** Recorded streams of pi's RPC mode through the whole adapter, over real stdio. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PiAgent } from "@/runner/agents/pi.ts";
import { objectOf, stringOf } from "@/runner/agents/read.ts";
import { memoryContext, MemorySession } from "./memory_session.ts";
import { piPoint } from "./replay_player.ts";
import { type Line, readTranscript, transcriptNames } from "./transcript.ts";

const replayAgent = fileURLToPath(new URL("./replay_agent.ts", import.meta.url));

interface Wanted {
  messages: string;
  thoughts: string;
  tools: Map<string, { status: string; output: string; exitCode?: number }>;
  dialogs: number;
  notices: string[];
}

function wantedOf(lines: Line[]): Wanted {
  const wanted: Wanted = { messages: "", thoughts: "", tools: new Map(), dialogs: 0, notices: [] };
  for (const { dir, msg } of lines) {
    if (dir !== "out") continue;
    const update = objectOf(msg.assistantMessageEvent);
    if (update.type === "text_delta") wanted.messages += String(update.delta);
    if (update.type === "thinking_delta") wanted.thoughts += String(update.delta);
    if (update.type === "toolcall_start") wanted.tools.set(String(update.id), { status: "cancelled", output: "" });
    const id = String(msg.toolCallId);
    const result = objectOf(msg.result ?? msg.partialResult);
    const text = (Array.isArray(result.content) ? result.content : []).map((part) => String(objectOf(part).text)).join(
      "\n",
    );
    if (msg.type === "tool_execution_update") wanted.tools.set(id, { status: "cancelled", output: text });
    if (msg.type === "tool_execution_end") {
      const exitCode = objectOf(result.structuredContent).exit_code;
      wanted.tools.set(id, {
        status: msg.isError ? "failed" : "completed",
        output: text,
        ...(typeof exitCode === "number" ? { exitCode } : {}),
      });
    }
    if (msg.type === "extension_ui_request") {
      if (["select", "confirm", "input", "editor"].includes(String(msg.method))) wanted.dialogs++;
      if (msg.method === "notify") wanted.notices.push(String(msg.message));
    }
  }
  return wanted;
}

/** Gives the answers of the recording client, in order, until `signal` aborts. */
async function answerDialogs(
  agent: PiAgent,
  session: MemorySession,
  lines: Line[],
  signal: AbortSignal,
): Promise<void> {
  const replies = lines.filter((line) => line.dir === "in" && line.msg.type === "extension_ui_response");
  for (const { msg } of replies) {
    const find = () => session.of("interaction").find((entry) => entry.head.status === "pending");
    await session.until("a dialog", () => signal.aborted || find() !== undefined);
    const entry = find();
    if (!entry) return;
    const value = stringOf(msg.value);
    const option = msg.confirmed === true
      ? "yes"
      : entry.body.options.find((candidate) => candidate.name === value)?.optionId;
    await agent.answer({
      kind: "answer",
      entryId: entry.id,
      op: "op",
      by: "Ann",
      ...(option !== undefined
        ? { outcome: "selected", optionId: option }
        : value !== undefined
        ? { outcome: "text", text: value }
        : { outcome: "cancelled" }),
    });
  }
}

for (const name of transcriptNames("pi-").filter((name) => !name.startsWith("pi-acp"))) {
  Deno.test(`replay of ${name}`, async () => {
    const lines = readTranscript(name);
    const folder = await Deno.makeTempDir();
    const file = join(folder, "replay.json");
    await Deno.writeTextFile(file, JSON.stringify(lines));
    const session = new MemorySession();
    const context = memoryContext(folder, { session });
    const log = context.log;
    context.log = (level, message, fields) => {
      log(level, message, fields);
      session.patchMeta({});
    };
    const agent = new PiAgent(context, {
      name: "pi",
      command: [Deno.execPath(), "run", "-A", replayAgent, file, "--pi"],
      env: context.env,
      startTimeoutMs: 30_000,
      timing: { silenceMs: 60_000, cancelGraceMs: 300, strayTextMs: 200 },
    });
    await agent.start();
    const done = new AbortController();
    const answering = answerDialogs(agent, session, lines, done.signal);
    const outcomes: string[] = [];
    const retries: number[] = [];
    let points = 0;
    let turn: ReturnType<PiAgent["prompt"]> | null = null;
    for (const { msg } of lines.filter((line) => line.dir === "in")) {
      if (msg.type === "set_model") await agent.configure({ kind: "set_model", modelId: String(msg.modelId) });
      if (msg.type === "set_thinking_level") {
        await agent.configure({ kind: "set_thinking_level", level: String(msg.level) });
      }
      if (msg.type === "prompt") {
        if (turn) outcomes.push((await turn).outcome);
        const images = (Array.isArray(msg.images) ? msg.images : []).map((image) => ({
          mediaType: String(objectOf(image).mimeType),
          data: String(objectOf(image).data),
        }));
        turn = agent.prompt({ text: String(msg.message), attachments: images });
      }
      if (msg.type !== "steer" && msg.type !== "abort") continue;
      const point = piPoint(points++);
      await session.until(point, () => context.logs.some((line) => line.includes(point)));
      if (msg.type === "steer") await agent.steer({ text: String(msg.message), attachments: [] });
      else await agent.cancel();
    }
    if (turn) outcomes.push((await turn).outcome);
    done.abort();
    session.patchMeta({});
    await answering;
    await agent.stop();
    await Deno.remove(folder, { recursive: true });

    const wanted = wantedOf(lines);
    for (const item of session.log) {
      if (item.type === "meta" && item.patch.retry) retries.push(item.patch.retry.attempt ?? 0);
    }
    assert.deepEqual(session.openEntryIds(), []);
    assert.equal(session.of("agent_message").map((entry) => entry.body.text).join(""), wanted.messages);
    assert.equal(session.of("thought").map((entry) => entry.body.text).join(""), wanted.thoughts);
    assert.equal(session.of("interaction").length, wanted.dialogs);
    assert.deepEqual(session.of("tool_call").map((tool) => tool.body.toolCallId), [...wanted.tools.keys()]);
    for (const { head, body } of session.of("tool_call")) {
      const want = wanted.tools.get(body.toolCallId);
      assert.deepEqual({
        status: head.status,
        output: body.output,
        ...(body.exitCode == null ? {} : { exitCode: body.exitCode }),
      }, want);
    }
    const isAborted = lines.some((line) => line.dir === "in" && line.msg.type === "abort");
    assert.deepEqual(outcomes, outcomes.map(() => isAborted ? "cancelled" : "completed"));
    const expectRetries = lines.filter((line) => line.dir === "out" && line.msg.type === "auto_retry_start").map((
      line,
    ) => line.msg.attempt);
    assert.deepEqual(retries, expectRetries);
    assert.equal(session.meta().retry, null);
    const notices = session.of("notice").map((entry) => entry.body.text);
    assert.deepEqual(notices.filter((text) => !text.includes("did not confirm the cancel")), wanted.notices);
    assert.deepEqual(context.saved, ["/nowhere/session.jsonl", "/nowhere/session.jsonl"].slice(0, outcomes.length));
    assert.equal(session.meta().can.steer, true);
    for (const tool of session.of("tool_call").filter((tool) => /^(edit|write)$/.test(tool.body.toolName ?? ""))) {
      assert.equal(tool.body.content[0]?.type, "diff");
    }
  });
}
