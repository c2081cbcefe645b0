/** Hand-made streams of pi's RPC mode for what no recording holds. */
import assert from "node:assert/strict";
import { PiAgent } from "@/runner/agents/pi.ts";
import { FakePipes, type Player } from "./fake_pipes.ts";
import { memoryContext, type MemorySession } from "./memory_session.ts";
import type { Json } from "./transcript.ts";

type Send = (message: Json | string) => void;
type Handler = (command: Json, send: Send, received: Json[]) => void;

interface Rig {
  agent: PiAgent;
  session: MemorySession;
  received: Json[];
  pipes: FakePipes;
  logs: string[];
}

const model = { id: "m1", name: "One", provider: "p", reasoning: true, contextWindow: 100, input: ["text"] };

/** An agent that answers state questions and, for other commands, does what `on` says. */
async function withPi(on: Record<string, Handler>, work: (rig: Rig) => Promise<void>): Promise<void> {
  const context = memoryContext("/", { env: {} });
  const received: Json[] = [];
  const made: { pipes?: FakePipes } = {};
  const defaults: Record<string, Json> = {
    get_state: { model, thinkingLevel: "low", isStreaming: false },
    get_available_models: { models: [model, { ...model, provider: "q" }] },
    get_available_thinking_levels: { levels: ["low", "high"] },
  };
  const agent = new PiAgent(
    context,
    {
      name: "pi",
      command: ["pi"],
      env: {},
      startTimeoutMs: 5_000,
      timing: { silenceMs: 60_000, cancelGraceMs: 80, strayTextMs: 30 },
    },
    () =>
      made.pipes = new FakePipes((send): Player => ({
        advance: () => {},
        receive: (command) => {
          received.push(command);
          const type = String(command.type);
          const handler = on[type];
          if (handler) return handler(command, send, received);
          if (type !== "extension_ui_response") send(ok(command, defaults[type] ?? {}));
        },
      })),
  );
  await agent.start();
  assert.ok(made.pipes);
  try {
    await work({ agent, session: context.session, received, pipes: made.pipes, logs: context.logs });
  } finally {
    await agent.stop();
    assert.deepEqual(context.session.openEntryIds(), []);
  }
}

const ok = (command: Json, data: Json = {}): Json => ({
  id: command.id,
  type: "response",
  command: command.type,
  success: true,
  data,
});
const no = (command: Json, error: string): Json => ({
  id: command.id,
  type: "response",
  command: command.type,
  success: false,
  error,
});
const delta = (text: string): Json => ({
  type: "message_update",
  assistantMessageEvent: { type: "text_delta", contentIndex: 0, delta: text },
});
const start: Json = { type: "message_start", message: { role: "assistant", content: [] } };
const end = (fields: Json): Json => ({
  type: "message_end",
  message: { role: "assistant", content: [], stopReason: "stop", ...fields },
});
const ask = (text = "go") => ({ text, attachments: [] });

Deno.test("old pi without agent_settled: the turn ends when its state says that nothing runs", async () => {
  const states = [{ isStreaming: true }, { isStreaming: false }];
  let isStarted = false;
  await withPi({
    get_state: (command, send) => send(ok(command, { model, ...(isStarted ? states.shift() : {}) })),
    prompt: (command, send) => {
      isStarted = true;
      send(ok(command, {}));
      for (const text of ["one", " two"]) {
        send({ type: "agent_start" });
        send(start);
        // Old versions repeat the whole message in every update.
        send({
          ...delta(text),
          message: { role: "assistant", content: [{ type: "text", text: "x".repeat(100_000) }] },
        });
        send(end({ content: [{ type: "text", text }] }));
        send({ type: "agent_end", messages: [] });
      }
    },
  }, async ({ agent, session }) => {
    assert.deepEqual(await agent.prompt(ask()), { outcome: "completed" });
    assert.deepEqual(session.of("agent_message").map((entry) => entry.body.text), ["one", " two"]);
  });
});

Deno.test("a prompt that pi refuses, one that an extension handles, and a message without deltas", async () => {
  let prompts = 0;
  await withPi({
    prompt: (command, send) => {
      prompts++;
      if (prompts === 1) return send(no(command, "No API key found for provider p"));
      if (prompts === 2) {
        send({ type: "extension_ui_request", id: "n", method: "notify", message: "handled it", notifyType: "warning" });
        return send(ok(command, { disposition: "handled" }));
      }
      send(ok(command, { disposition: "started" }));
      send({ type: "agent_start" });
      send(start);
      send(end({ content: [{ type: "text", text: "all at once" }], usage: { totalTokens: 42 } }));
      send({ type: "agent_end", willRetry: false });
      send({ type: "agent_settled", aborted: false });
    },
  }, async ({ agent, session }) => {
    assert.deepEqual(await agent.prompt(ask()), { outcome: "failed", message: "No API key found for provider p" });
    assert.deepEqual(await agent.prompt(ask()), { outcome: "completed" });
    assert.deepEqual(session.of("notice").map((entry) => [entry.body.level, entry.body.text]), [
      ["error", "No API key found for provider p"],
      ["warning", "handled it"],
    ]);
    assert.deepEqual(await agent.prompt(ask()), { outcome: "completed" });
    assert.equal(session.text(), "all at once");
    assert.deepEqual(session.meta().usage, { contextTokens: 42, contextSize: 100 });
  });
});

Deno.test("retries that run out end in the error; the retry is gone then", async () => {
  await withPi({
    prompt: (command, send) => {
      send(ok(command, { disposition: "started" }));
      send({ type: "agent_start" });
      send(start);
      send(end({ stopReason: "error", errorMessage: "529 overloaded" }));
      send({ type: "agent_end", willRetry: true });
      send({ type: "auto_retry_start", attempt: 1, maxAttempts: 1, delayMs: 1, errorMessage: "529 overloaded" });
      send({ type: "agent_start" });
      send(start);
      send(end({ stopReason: "error", errorMessage: "529 overloaded" }));
      send({ type: "auto_retry_end", success: false, attempt: 1, finalError: "529 overloaded, given up" });
      send({ type: "agent_end", willRetry: false });
      send({ type: "agent_settled", aborted: false });
    },
  }, async ({ agent, session }) => {
    assert.deepEqual(await agent.prompt(ask()), { outcome: "failed", message: "529 overloaded, given up" });
    assert.equal(session.of("notice").length, 1);
    assert.equal(session.meta().retry, null);
    assert.ok(session.log.some((item) => item.type === "meta" && item.patch.retry?.attempt === 1));
  });
});

Deno.test("dialogs: one that times out in pi is withdrawn, others are answered before the abort", async () => {
  await withPi({
    prompt: (command, send) => {
      send(ok(command, { disposition: "started" }));
      send({ type: "agent_start" });
      send({
        type: "extension_ui_request",
        id: "d1",
        method: "confirm",
        title: "Sure?",
        message: "really",
        timeout: 20,
      });
      send({ type: "extension_ui_request", id: "d2", method: "select", title: "Which?", options: ["red", "blue"] });
    },
    abort: (command, send) => {
      send({ type: "agent_settled", aborted: true });
      send(ok(command));
    },
  }, async ({ agent, session, received }) => {
    const turn = agent.prompt(ask());
    await session.until("the first dialog to end", () => session.of("interaction")[0]?.head.status === "cancelled");
    assert.equal(session.of("interaction")[1]?.body.interaction, "question");
    await agent.cancel();
    assert.deepEqual(await turn, { outcome: "cancelled" });
    const sent = received.filter((command) => /abort|clear_queue|extension_ui/.test(String(command.type)));
    assert.deepEqual(sent.map((command) => [command.type, command.cancelled]), [
      ["extension_ui_response", true],
      ["extension_ui_response", true],
      ["clear_queue", undefined],
      ["abort", undefined],
    ]);
  });
});

Deno.test("compaction, model by provider, new conversation, and refusals", async () => {
  await withPi({
    compact: (command, send) => {
      send({ type: "compaction_start", reason: "manual" });
      send({ type: "compaction_end", reason: "manual", result: {} });
      send(command.customInstructions === "fail" ? no(command, "nothing to compact") : ok(command));
    },
  }, async ({ agent, session, received }) => {
    await agent.configure({ kind: "compact" });
    assert.equal(session.meta().isCompacting, false);
    assert.ok(session.log.some((item) => item.type === "meta" && item.patch.isCompacting === true));
    await assert.rejects(agent.configure({ kind: "compact", instructions: "fail" }), /nothing to compact/);
    await agent.configure({ kind: "set_model", modelId: "m1", provider: "q" });
    assert.equal(received.find((command) => command.type === "set_model")?.provider, "q");
    await assert.rejects(agent.configure({ kind: "set_model", modelId: "m9" }), /no model "m9"/);
    await agent.configure({ kind: "set_thinking_level", level: "high" });
    assert.equal(session.meta().thinkingLevel?.current, "high");
    await assert.rejects(agent.configure({ kind: "set_thinking_level", level: "max" }), /not a thinking level/);
    await assert.rejects(agent.configure({ kind: "set_mode", modeId: "x" }), /no modes/);
    await assert.rejects(agent.steer(ask()), /not working/);
    await agent.configure({ kind: "new_conversation" });
    assert.match(session.of("notice").at(-1)?.body.text ?? "", /New conversation/);
  });
});

Deno.test("an abort that pi does not confirm, lines that are no JSON, and a process that dies", async () => {
  await withPi({
    prompt: (command, send) => {
      send("Warning: an extension printed this");
      send(ok(command, { disposition: "started" }));
      send({ type: "agent_start" });
      send({ type: "from_the_future" });
      send(start);
      send(delta("half"));
      send({ type: "tool_execution_start", toolCallId: "t", toolName: "deploy", args: { stage: "prod" } });
    },
    abort: () => {},
  }, async ({ agent, session, pipes, logs }) => {
    const turn = agent.prompt(ask());
    await session.until("the tool", () => session.of("tool_call").length === 1);
    await agent.cancel();
    assert.deepEqual(await turn, { outcome: "cancelled" });
    assert.equal(session.of("tool_call")[0]?.head.status, "cancelled");
    assert.deepEqual([session.of("tool_call")[0]?.head.title, session.of("tool_call")[0]?.head.toolKind], [
      "deploy",
      "other",
    ]);
    assert.ok(
      logs.some((line) => line.includes("from_the_future")) && logs.some((line) => line.includes("unparsable_line")),
    );
    const second = agent.prompt(ask());
    await session.until("the second turn", () => session.of("agent_message").length === 2);
    pipes.end({ code: null, signal: "SIGSEGV", stderrTail: "boom" });
    assert.deepEqual(await second, { outcome: "failed", message: "pi ended while it worked (signal SIGSEGV)" });
    assert.equal((await agent.prompt(ask())).outcome, "failed");
  });
});
