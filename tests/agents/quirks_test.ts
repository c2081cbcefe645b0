/** Hand-made ACP streams for each quirk of reference agents.md §5 that no recording holds. */
import assert from "node:assert/strict";
import type { TurnEnd } from "@/runner/agents/agent.ts";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { objectOf } from "@/runner/agents/read.ts";
import { FakePipes, type Player } from "./fake_pipes.ts";
import { memoryContext, type MemorySession } from "./memory_session.ts";
import type { Json } from "./transcript.ts";

type Send = (message: Json | string) => void;

/** A scripted agent: what it sends when a request comes, by method. Replies with `{}` where nothing is said. */
class Script implements Player {
  readonly received: Json[] = [];
  readonly #send: Send;
  readonly #on: Record<string, (request: Json, reply: (result: Json) => void, send: Send, script: Script) => void>;

  constructor(send: Send, on: Script["handlers"]) {
    this.#send = send;
    this.#on = on;
  }

  get handlers(): Record<string, (request: Json, reply: (result: Json) => void, send: Send, script: Script) => void> {
    return this.#on;
  }

  advance(): void {}

  receive(message: Json): void {
    this.received.push(message);
    const method = typeof message.method === "string" ? message.method : "reply";
    const reply = (result: Json) =>
      this.#send({ jsonrpc: "2.0", id: message.id, ...("error" in result ? result : { result }) });
    const handler = this.#on[method];
    if (handler) return handler(message, reply, this.#send, this);
    if (method === "initialize") {
      return reply({
        protocolVersion: 1,
        agentCapabilities: { loadSession: true, promptCapabilities: { image: true } },
      });
    }
    if (method === "session/new") return reply({ sessionId: "s1" });
    if ("id" in message && method !== "reply") reply({});
  }
}

interface Rig {
  agent: AcpAgent;
  session: MemorySession;
  script: Script;
  pipes: FakePipes;
  logs: string[];
  context: ReturnType<typeof memoryContext>;
}

async function withScript(on: Script["handlers"], work: (rig: Rig) => Promise<void>, resumeId?: string): Promise<void> {
  const context = memoryContext("/", { env: {}, ...(resumeId === undefined ? {} : { resumeId }) });
  const made: { script?: Script; pipes?: FakePipes } = {};
  const agent = new AcpAgent(context, {
    agentId: "custom",
    name: "Quirk",
    command: ["quirk"],
    env: {},
    startTimeoutMs: 5_000,
    timing: { silenceMs: 40, cancelGraceMs: 80, strayTextMs: 30 },
  }, () => made.pipes = new FakePipes((send) => made.script = new Script(send, on)));
  await agent.start();
  assert.ok(made.script && made.pipes);
  try {
    await work({
      agent,
      session: context.session,
      script: made.script,
      pipes: made.pipes,
      logs: context.logs,
      context,
    });
  } finally {
    await agent.stop();
    assert.deepEqual(context.session.openEntryIds(), []);
  }
}

const update = (fields: Json, sessionId = "s1"): Json => ({
  jsonrpc: "2.0",
  method: "session/update",
  params: { sessionId, update: fields },
});
const chunk = (text: string, messageId?: string) =>
  update({
    sessionUpdate: "agent_message_chunk",
    content: { type: "text", text },
    ...(messageId ? { messageId } : {}),
  });
const thought = (text: string) => update({ sessionUpdate: "agent_thought_chunk", content: { type: "text", text } });
const call = (fields: Json) => update({ sessionUpdate: "tool_call", ...fields });
const callUpdate = (fields: Json) => update({ sessionUpdate: "tool_call_update", ...fields });
const printed = (text: string) => [{ type: "content", content: { type: "text", text } }];
const permission = (id: number, toolCallId: string): Json => ({
  jsonrpc: "2.0",
  id,
  method: "session/request_permission",
  params: {
    sessionId: "s1",
    toolCall: { toolCallId, title: "rm -rf build", kind: "execute", rawInput: { command: "rm -rf build" } },
    options: [
      { optionId: "always", name: "Always", kind: "allow_always" },
      { optionId: "once", name: "Once", kind: "allow_once" },
      { optionId: "no", name: "No", kind: "reject_once" },
    ],
  },
});
const ask = { text: "go", attachments: [] };
const prompt = (agent: AcpAgent): Promise<TurnEnd> => agent.prompt(ask);

Deno.test("updates before the reply to session/new count, and so do updates after the reply to a prompt", async () => {
  await withScript({
    "session/new": (_request, reply, send) => {
      send(
        update({
          sessionUpdate: "available_commands_update",
          availableCommands: [{ name: "early", description: "x" }],
        }),
      );
      reply({ sessionId: "s1" });
    },
    "session/prompt": (_request, reply, send) => {
      send(chunk("hello"));
      reply({ stopReason: "end_turn" });
      send(update({ sessionUpdate: "usage_update", used: 7, size: 10 }));
      send(chunk("and this came late"));
    },
  }, async ({ agent, session }) => {
    assert.equal(session.meta().commands[0]?.name, "early");
    assert.deepEqual(await prompt(agent), { outcome: "completed" });
    await session.until(
      "the stray text to close",
      () => session.text().includes("late") && session.openEntryIds().length === 0,
    );
    assert.deepEqual(session.of("agent_message").map((entry) => entry.body.text), ["hello", "and this came late"]);
    assert.equal(session.meta().usage?.contextTokens, 7);
  });
});

Deno.test("a tool call without a start: an update makes the entry; a second start with the same id does not make another", async () => {
  await withScript({
    "session/prompt": (_request, reply, send) => {
      send(callUpdate({ toolCallId: "a", title: "ls", status: "in_progress" }));
      send(callUpdate({ toolCallId: "a", status: "completed", content: printed("one\n") }));
      send(call({ toolCallId: "b", title: "first", kind: "read", status: "pending" }));
      send(call({ toolCallId: "b", title: "second", kind: "read", status: "in_progress", rawInput: { path: "/x" } }));
      send(callUpdate({ toolCallId: "b", status: "completed" }));
      send(callUpdate({ toolCallId: "b", status: "in_progress" }));
      reply({ stopReason: "end_turn" });
    },
  }, async ({ agent, session }) => {
    await prompt(agent);
    assert.deepEqual(session.of("tool_call").map((tool) => [tool.head.title, tool.head.status, tool.body.output]), [
      ["ls", "completed", "one\n"],
      ["second", "completed", ""],
    ]);
  });
});

Deno.test("a permission request is the first sight of a tool call (Gemini); after a reject nothing follows", async () => {
  await withScript({
    "session/prompt": (request, _reply, send) => {
      send(permission(90, "g1"));
      send({ ...permission(91, "g2") });
      void request;
    },
    reply: (_message, _reply, send, script) => {
      if (script.received.filter((message) => message.method === undefined).length < 2) return;
      const asked = script.received.find((message) => message.method === "session/prompt");
      send({ jsonrpc: "2.0", id: asked?.id, result: { stopReason: "end_turn" } });
    },
  }, async ({ agent, session, script }) => {
    const turn = prompt(agent);
    await session.until("both requests", () => session.of("interaction").length === 2);
    const [first, second] = session.of("interaction");
    assert.ok(first && second);
    assert.notEqual(first.body.toolEntryId, second.body.toolEntryId);
    await assert.rejects(
      agent.answer({ kind: "answer", entryId: first.id, outcome: "selected", optionId: "maybe", op: "0", by: "Ann" }),
      /there is no option "maybe" here; the options are: always, once, no/,
    );
    await agent.answer({
      kind: "answer",
      entryId: second.id,
      outcome: "selected",
      optionId: "once",
      op: "1",
      by: "Ann",
    });
    await agent.answer({ kind: "answer", entryId: first.id, outcome: "selected", optionId: "no", op: "2", by: "Ann" });
    await turn;
    assert.deepEqual(session.of("tool_call").map((tool) => tool.head.status), ["cancelled", "completed"]);
    const replies = script.received.filter((message) => message.method === undefined);
    assert.deepEqual(replies.map((message) => [message.id, objectOf(objectOf(message.result).outcome).optionId]), [[
      91,
      "once",
    ], [90, "no"]]);
  });
});

Deno.test("tool calls left open are closed at the turn's end; a late update of a cancelled one changes its entry", async () => {
  let turns = 0;
  await withScript({
    "session/prompt": (request, reply, send) => {
      turns++;
      if (turns === 1) {
        send(call({ toolCallId: "c1", title: "sleep 9", kind: "execute", status: "in_progress" }));
        return;
      }
      send(callUpdate({ toolCallId: "c1", status: "failed", content: printed("interrupted") }));
      send(chunk("second turn"));
      if (turns === 2) {
        send(call({ toolCallId: "c2", title: "left open", kind: "execute", status: "in_progress" }));
        return reply({ stopReason: "end_turn" });
      }
      // An id that is used again in a later turn is another call.
      send(call({ toolCallId: "c2", title: "again", kind: "execute", status: "completed" }));
      void request;
      reply({ stopReason: "end_turn" });
    },
    "session/cancel": (_message, _reply, send, script) => {
      const asked = script.received.find((message) => message.method === "session/prompt");
      send({ jsonrpc: "2.0", id: asked?.id, result: { stopReason: "cancelled" } });
    },
  }, async ({ agent, session }) => {
    const turn = prompt(agent);
    await session.until("the call", () => session.of("tool_call").length === 1);
    await agent.cancel();
    assert.deepEqual(await turn, { outcome: "cancelled" });
    assert.equal(session.of("tool_call")[0]?.head.status, "cancelled");
    await prompt(agent);
    await prompt(agent);
    assert.deepEqual(session.of("tool_call").map((tool) => [tool.head.title, tool.head.status, tool.body.output]), [
      ["sleep 9", "cancelled", "interrupted"],
      ["left open", "completed", ""],
      ["again", "completed", ""],
    ]);
    assert.deepEqual(session.timeline().map((entry) => entry.kind), [
      "tool_call",
      "agent_message",
      "tool_call",
      "agent_message",
      "tool_call",
    ]);
  });
});

Deno.test("a frame of 569 KB of commands is taken and cut down, names kept", async () => {
  const availableCommands = Array.from({ length: 280 }, (_, place) => ({
    name: `skill-${place}`,
    description: "words ".repeat(330),
    input: { hint: "hint" },
  }));
  assert.ok(JSON.stringify(availableCommands).length > 540_000);
  await withScript({
    "session/prompt": (_request, reply, send) => {
      send(update({ sessionUpdate: "available_commands_update", availableCommands }));
      send(chunk("x".repeat(700_000)));
      reply({ stopReason: "end_turn" });
    },
  }, async ({ agent, session }) => {
    await prompt(agent);
    const { commands } = session.meta();
    assert.equal(commands.length, 280);
    assert.equal(commands[279]?.name, "skill-279");
    assert.ok(JSON.stringify(commands).length <= 128 * 1024);
    // A whole message in one chunk, too long for one entry.
    assert.deepEqual(session.of("agent_message").map((entry) => entry.body.text.length), [524_288, 175_712]);
  });
});

Deno.test("message borders: another message id, a thought, a tool call; updates of a known call are none", async () => {
  await withScript({
    "session/prompt": (_request, reply, send) => {
      send(thought("hm"));
      send(thought("m"));
      send(chunk("a", "m1"));
      send(chunk("b", "m1"));
      send(chunk("c", "m2"));
      send(call({ toolCallId: "t", title: "t", status: "pending" }));
      send(chunk("d", "m2"));
      send(callUpdate({ toolCallId: "t", status: "completed" }));
      send(chunk("e"));
      send(update({ sessionUpdate: "from_the_future", content: {} }));
      send(chunk("f", "m2"));
      reply({ stopReason: "end_turn" });
    },
  }, async ({ agent, session, logs }) => {
    await prompt(agent);
    assert.deepEqual(session.timeline().map((entry) => "text" in entry.body ? entry.body.text : entry.kind), [
      "hmm",
      "ab",
      "c",
      "tool_call",
      "def",
    ]);
    assert.ok(session.of("thought")[0]?.head.endedAt !== undefined);
    assert.ok(logs.some((line) => line.includes("from_the_future")));
  });
});

Deno.test("output in three ways: deltas in _meta, text so far, and another text at the end", async () => {
  const delta = (data: string) =>
    callUpdate({ toolCallId: "a", _meta: { terminal_output_delta: { terminal_id: "x", data } } });
  await withScript({
    "session/prompt": (_request, reply, send) => {
      send(
        call({
          toolCallId: "a",
          title: "a",
          kind: "execute",
          status: "in_progress",
          content: [{ type: "terminal", terminalId: "x" }],
        }),
      );
      send(delta("one\n"));
      send(delta("two\n"));
      send(callUpdate({ toolCallId: "a", status: "completed", _meta: { terminal_exit: { exit_code: 3 } } }));
      send(call({ toolCallId: "b", title: "b", kind: "execute", status: "in_progress" }));
      send(callUpdate({ toolCallId: "b", content: printed("1\n") }));
      send(callUpdate({ toolCallId: "b", content: printed("1\n2\n") }));
      send(
        callUpdate({
          toolCallId: "b",
          status: "completed",
          content: printed("other\n"),
          rawOutput: { metadata: { exit: 0 } },
        }),
      );
      send(call({ toolCallId: "c", title: "c", kind: "execute", status: "in_progress" }));
      for (let line = 0; line < 40; line++) {
        send(
          callUpdate({
            toolCallId: "c",
            _meta: { terminal_output: { data: `${String(line).padStart(9_999, ".")}\n` } },
          }),
        );
      }
      send(callUpdate({ toolCallId: "c", status: "completed" }));
      reply({ stopReason: "end_turn" });
    },
  }, async ({ agent, session }) => {
    await prompt(agent);
    const [a, b, c] = session.of("tool_call");
    assert.deepEqual([a?.body.output, a?.body.exitCode], ["one\ntwo\n", 3]);
    assert.deepEqual([b?.body.output, b?.body.exitCode], ["other\n", 0]);
    const deltas = session.log.filter((item) => item.type === "append" && item.entryId === b?.id);
    assert.equal(deltas.length, 2);
    assert.equal((c?.body.outputCut ?? 0) > 100_000, true);
    assert.ok((c?.body.output.length ?? 0) < 262_144 + 100);
    assert.match(c?.body.output ?? "", /characters cut/);
    assert.match(c?.body.output ?? "", /39\n$/);
  });
});

Deno.test("errors of a prompt: codes of the agent's and of HTTP become a notice with the reason", async () => {
  const failures: Json[] = [
    { code: -32000, message: "Authentication required" },
    { code: -32603, message: "Internal error", data: { details: "401 bad key" } },
    { code: 429, message: "slow down" },
  ];
  await withScript({
    "session/prompt": (_request, reply) => reply({ error: failures.shift() }),
  }, async ({ agent, session }) => {
    assert.deepEqual(await prompt(agent), { outcome: "failed", message: "Authentication required" });
    assert.deepEqual(await prompt(agent), { outcome: "failed", message: "Internal error: 401 bad key" });
    assert.deepEqual(await prompt(agent), { outcome: "failed", message: "slow down" });
    assert.deepEqual(session.of("notice").map((entry) => entry.body.level), ["error", "error", "error"]);
  });
});

Deno.test("an agent that says nothing is reported, does not hang a cancel, and an empty turn is named", async () => {
  let turns = 0;
  await withScript({
    "session/prompt": (_request, reply) => {
      if (++turns === 2) reply({ stopReason: "end_turn" });
    },
  }, async ({ agent, session }) => {
    const turn = prompt(agent);
    await session.until("the silence to be told", () => /No output for/.test(session.meta().retry?.message ?? ""));
    await agent.cancel();
    assert.deepEqual(await turn, { outcome: "cancelled" });
    assert.equal(session.meta().retry, null);
    assert.match(session.of("notice")[0]?.body.text ?? "", /did not confirm the cancel/);
    assert.deepEqual(await prompt(agent), { outcome: "completed" });
    assert.match(session.of("notice")[1]?.body.text ?? "", /without an answer/);
  });
});

Deno.test("the reply to a prompt that was given up does not end the next turn", async () => {
  await withScript({
    "session/prompt": (_request, _reply, send, script) => {
      const [first, second] = script.received.filter((message) => message.method === "session/prompt");
      if (!second) return;
      send({ jsonrpc: "2.0", id: first?.id, result: { stopReason: "cancelled" } });
      send(chunk("the second answer"));
      send({ jsonrpc: "2.0", id: second.id, result: { stopReason: "end_turn" } });
    },
  }, async ({ agent, session }) => {
    const first = prompt(agent);
    await agent.cancel();
    assert.deepEqual(await first, { outcome: "cancelled" });
    assert.deepEqual(await prompt(agent), { outcome: "completed" });
    assert.equal(session.text(), "the second answer");
  });
});

Deno.test("unknown requests get -32601, garbage lines and other sessions change nothing", async () => {
  await withScript({
    "session/prompt": (_request, _reply, send) => {
      send("npm warn this is not JSON");
      send('{"jsonrpc":"2.0"}');
      send({ jsonrpc: "2.0", id: "q1", method: "craft/drainMidTurnQueue", params: {} });
      send({ jsonrpc: "2.0", id: "q2", method: "fs/write_text_file", params: { path: "/etc/x", content: "" } });
      send({ jsonrpc: "2.0", method: "_auth/status_update", params: {} });
      send(update({ sessionUpdate: "agent_message_chunk", content: { type: "text", text: "not mine" } }, "other"));
      send(chunk("mine"));
    },
    reply: (_message, _reply, send, script) => {
      if (script.received.filter((message) => typeof message.id === "string").length < 2) return;
      const asked = script.received.find((other) => other.method === "session/prompt");
      send({ jsonrpc: "2.0", id: asked?.id, result: { stopReason: "end_turn" } });
    },
  }, async ({ agent, session, script }) => {
    await prompt(agent);
    assert.deepEqual(session.timeline().map((entry) => "text" in entry.body && entry.body.text), ["mine"]);
    const codes = script.received.filter((message) => message.method === undefined && typeof message.id === "string")
      .map((message) => [message.id, objectOf(message.error).code]);
    assert.deepEqual(codes, [["q1", -32601], ["q2", -32601]]);
  });
});

Deno.test("the process ends while a prompt runs: the turn fails with the last words of stderr", async () => {
  await withScript({
    "session/prompt": (_request, _reply, send) => {
      send(chunk("half a"));
      send(permission(1, "t1"));
    },
  }, async ({ agent, session, pipes }) => {
    const turn = prompt(agent);
    await session.until("the request", () => session.of("interaction").length === 1);
    pipes.end({ code: 137, signal: null, stderrTail: "out of memory" });
    assert.equal((await turn).outcome, "failed");
    assert.deepEqual((await agent.exited).stderrTail, "out of memory");
    assert.deepEqual(session.openEntryIds(), []);
    assert.match(session.of("notice")[0]?.body.text ?? "", /exit code 137/);
    assert.equal(session.of("notice")[0]?.body.detail, "out of memory");
    assert.deepEqual(await prompt(agent), await prompt(agent));
  });
});

Deno.test("a permission request that the agent takes back, and one that comes after a cancel, are settled", async () => {
  await withScript({
    "session/prompt": (_request, _reply, send) => {
      send(permission(70, "t1"));
    },
    "session/cancel": (_message, _reply, send) => {
      send(permission(71, "t2"));
    },
    reply: (message, _reply, send, script) => {
      if (message.id !== 71) return;
      const asked = script.received.find((other) => other.method === "session/prompt");
      send({ jsonrpc: "2.0", id: asked?.id, result: { stopReason: "cancelled" } });
    },
  }, async ({ agent, session, script }) => {
    const turn = prompt(agent);
    await session.pendingInteraction();
    await agent.cancel();
    assert.deepEqual(await turn, { outcome: "cancelled" });
    const outcomes = script.received.filter((message) =>
      message.method === undefined && typeof message.id === "number" && message.id >= 70
    )
      .map((message) => objectOf(objectOf(message.result).outcome).outcome);
    assert.deepEqual(outcomes, ["cancelled", "cancelled"]);
    assert.deepEqual(session.of("interaction").map((entry) => entry.head.status), ["cancelled", "cancelled"]);
  });
  await withScript({
    "session/prompt": (_request, _reply, send) => {
      send(permission(70, "t1"));
      send({ jsonrpc: "2.0", method: "$/cancel_request", params: { requestId: 70 } });
    },
    reply: (_message, _reply, send, script) => {
      const asked = script.received.find((other) => other.method === "session/prompt");
      send({ jsonrpc: "2.0", id: asked?.id, result: { stopReason: "end_turn" } });
    },
  }, async ({ agent, session }) => {
    assert.deepEqual(await prompt(agent), { outcome: "completed" });
    assert.equal(session.of("interaction")[0]?.head.status, "cancelled");
  });
});

Deno.test("legacy models and modes, options that answer with nothing, and an unknown choice", async () => {
  await withScript({
    "session/new": (_request, reply) =>
      reply({
        sessionId: "s1",
        modes: { currentModeId: "ask", availableModes: [{ id: "ask", name: "Ask" }, { id: "auto", name: "Auto" }] },
        models: {
          currentModelId: "m1",
          availableModels: [{ modelId: "m1", name: "One" }, { modelId: "m2", name: "Two" }],
        },
        configOptions: [{
          id: "effort",
          type: "select",
          name: "Effort",
          currentValue: "low",
          options: [{
            group: "g",
            name: "G",
            options: [{ value: "low", name: "Low" }, { value: "high", name: "High" }],
          }],
        }],
      }),
  }, async ({ agent, session, script }) => {
    await agent.configure({ kind: "set_model", modelId: "m2" });
    await agent.configure({ kind: "set_mode", modeId: "auto" });
    await agent.configure({ kind: "set_config_option", optionId: "effort", value: "high" });
    const meta = session.meta();
    assert.deepEqual([meta.model?.id, meta.mode?.currentModeId, meta.configOptions[0]?.currentValue], [
      "m2",
      "auto",
      "high",
    ]);
    assert.deepEqual(script.received.slice(2).map((message) => message.method), [
      "session/set_model",
      "session/set_mode",
      "session/set_config_option",
    ]);
    await assert.rejects(agent.configure({ kind: "set_mode", modeId: "yolo" }), /has no mode "yolo"/);
    await assert.rejects(agent.configure({ kind: "set_model", modelId: "m3" }), /has no model "m3"/);
    await assert.rejects(
      agent.configure({ kind: "set_config_option", optionId: "effort", value: "max" }),
      /not a value of Effort/,
    );
    await assert.rejects(agent.configure({ kind: "set_thinking_level", level: "high" }), /no thinking levels/);
    await assert.rejects(agent.steer(), /cannot be steered/);
  });
});

Deno.test("sign-in needed at the start is said with the agent's own methods", async () => {
  const context = memoryContext("/", { env: {} });
  const agent = new AcpAgent(context, {
    agentId: "auggie",
    name: "Auggie",
    command: ["x"],
    env: {},
    startTimeoutMs: 5_000,
  }, () =>
    new FakePipes((send) =>
      new Script(send, {
        initialize: (_request, reply) =>
          reply({ protocolVersion: 1, authMethods: [{ id: "login", name: "Log in with a browser" }] }),
        "session/new": (_request, reply) => reply({ error: { code: -32000, message: "Authentication required" } }),
      })
    ));
  await assert.rejects(agent.start(), /Auggie is not signed in.*Log in with a browser/);
});

Deno.test("files and terminals, where they are offered; a terminal's output shows in its tool call", async () => {
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const env = { PATH: Deno.env.get("PATH") ?? "" };
  const context = memoryContext(cwd, { env });
  const path = `${cwd}/a.txt`;
  let script: Script | undefined;
  const request = (id: string, method: string, params: Json): Json => ({ jsonrpc: "2.0", id, method, params });
  const agent = new AcpAgent(
    context,
    {
      agentId: "custom",
      name: "Offers",
      command: ["x"],
      env,
      startTimeoutMs: 5_000,
      offers: { files: true, terminals: true },
    },
    () =>
      new FakePipes((send) =>
        script = new Script(send, {
          "session/prompt": (_request, _reply, sendNow) => {
            sendNow(request("w", "fs/write_text_file", { path, content: "one\ntwo\n" }));
          },
          reply: (message, _reply, sendNow, self) => {
            const terminalId = objectOf(message.result).terminalId;
            if (message.id === "w") sendNow(request("r", "fs/read_text_file", { path, line: 2 }));
            if (message.id === "r") sendNow(request("x", "fs/read_text_file", { path: "/etc/passwd" }));
            if (message.id === "x") sendNow(request("c", "terminal/create", { command: "cat", args: ["a.txt"] }));
            if (message.id === "c") {
              sendNow(
                call({
                  toolCallId: "t",
                  title: "cat",
                  status: "in_progress",
                  content: [{ type: "terminal", terminalId }],
                }),
              );
              sendNow(request("e", "terminal/wait_for_exit", { terminalId }));
            }
            if (message.id !== "e") return;
            sendNow(callUpdate({ toolCallId: "t", status: "completed" }));
            const asked = self.received.find((other) => other.method === "session/prompt");
            sendNow({ jsonrpc: "2.0", id: asked?.id, result: { stopReason: "end_turn" } });
          },
        })
      ),
  );
  await agent.start();
  assert.deepEqual(await prompt(agent), { outcome: "completed" });
  await agent.stop();
  const reply = (id: string) => script?.received.find((message) => message.method === undefined && message.id === id);
  assert.deepEqual(reply("r")?.result, { content: "two\n" });
  assert.equal(objectOf(reply("x")?.error).code, -32602);
  assert.equal(await Deno.readTextFile(path), "one\ntwo\n");
  assert.equal(context.session.of("tool_call")[0]?.body.output, "one\ntwo\n");
  await Deno.remove(cwd, { recursive: true });
});

Deno.test("images and text files of a prompt", async () => {
  await withScript(
    { "session/prompt": (_request, reply) => reply({ stopReason: "end_turn" }) },
    async ({ agent, session, script }) => {
      await agent.prompt({
        text: "look",
        attachments: [
          { mediaType: "image/png", data: "AAAA" },
          { mediaType: "text/plain", filename: "a.txt", data: btoa("hello") },
          { mediaType: "application/zip", filename: "b.zip", data: "AAAA" },
          { mediaType: "image/png", filename: "c.png", url: "/files/1" },
        ],
      });
      const blocks = objectOf(script.received.find((message) => message.method === "session/prompt")?.params).prompt;
      assert.deepEqual(blocks, [
        { type: "text", text: "look\n\nAttached file a.txt:\n\nhello" },
        { type: "image", mimeType: "image/png", data: "AAAA" },
      ]);
      assert.deepEqual(session.of("notice").slice(0, 2).map((entry) => entry.body.text), [
        "Not sent: b.zip: files of type application/zip cannot be sent to an agent",
        "Not sent: c.png: its content did not arrive",
      ]);
    },
  );
});
