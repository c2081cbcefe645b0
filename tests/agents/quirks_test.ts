/** Hand-made ACP streams for each quirk of the order and shape of updates that no recording holds. */
import assert from "node:assert/strict";
import { objectOf } from "@/runner/agents/read.ts";
import { call, callUpdate, chunk, permission, printed, prompt, thought, update, withScript } from "./acp_script.ts";

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
