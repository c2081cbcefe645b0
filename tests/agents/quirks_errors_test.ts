/** Hand-made ACP agents that fail, stay silent, speak strangely, or offer options in unusual ways. */
import assert from "node:assert/strict";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { objectOf } from "@/runner/agents/read.ts";
import { call, callUpdate, chunk, permission, prompt, Script, update, withScript } from "./acp_script.ts";
import { FakePipes } from "./fake_pipes.ts";
import { memoryContext } from "./memory_session.ts";
import type { Json } from "./transcript.ts";

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
