import assert from "node:assert/strict";
import fc from "fast-check";
import { MetaPatch } from "@/protocol/mod.ts";
import { contentsOf, permissionToolChange, textOfBlock, translateUpdate, turnUsage } from "./acp_updates.ts";

const fresh = { hasInput: () => false };

Deno.test("any JSON whatever is translated without an error, and meta fits its schema", () => {
  const kinds = fc.constantFrom(
    "agent_message_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
    "available_commands_update",
    "current_mode_update",
    "config_option_update",
    "session_info_update",
    "usage_update",
    "notice",
    "compaction_update",
    "other",
  );
  const fields = fc.dictionary(
    fc.constantFrom(
      "content",
      "toolCallId",
      "title",
      "status",
      "entries",
      "availableCommands",
      "used",
      "size",
      "cost",
      "_meta",
      "rawInput",
      "rawOutput",
      "locations",
      "message",
    ),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(kinds, fields, (sessionUpdate, rest) => {
      const event = translateUpdate({ sessionUpdate, ...rest }, fresh);
      if (event.type === "meta") MetaPatch.parse(event.patch);
    }),
  );
  fc.assert(fc.property(fc.jsonValue(), (value) => void translateUpdate(value, fresh)));
});

Deno.test("plan, usage, title and blocks that are no text", () => {
  assert.deepEqual(
    translateUpdate(
      { sessionUpdate: "plan", entries: [{ content: "a", priority: "high", status: "in_progress" }, {}] },
      fresh,
    ),
    {
      type: "meta",
      patch: { plan: [{ content: "a", priority: "high", status: "in_progress" }, { content: "", status: "pending" }] },
    },
  );
  assert.deepEqual(
    translateUpdate({ sessionUpdate: "usage_update", used: 5, size: 9, cost: { amount: 0.5, currency: "EUR" } }, fresh),
    { type: "meta", patch: { usage: { contextTokens: 5, contextSize: 9, cost: { amount: 0.5, currency: "EUR" } } } },
  );
  assert.deepEqual(translateUpdate({ sessionUpdate: "session_info_update", title: " " }, fresh), {
    type: "ignored",
    kind: "session_info_update",
  });
  assert.equal(textOfBlock({ type: "resource_link", name: "a", uri: "file:///a" }), "[a](file:///a)");
  assert.equal(textOfBlock({ type: "resource", resource: { uri: "file:///a", text: "inside" } }), "inside");
  assert.equal(textOfBlock({ type: "image", mimeType: "image/png", data: "A" }), "[image: image/png]");
  assert.deepEqual(turnUsage({ inputTokens: 1, outputTokens: 2, cachedReadTokens: 3 }), {
    input: 1,
    output: 2,
    cacheRead: 3,
  });
  assert.equal(turnUsage(undefined), null);
});

Deno.test("contents: text joined, diffs and images apart, terminals by id", () => {
  assert.deepEqual(
    contentsOf([
      { type: "content", content: { type: "text", text: "a" } },
      { type: "diff", path: "p", newText: "n" },
      { type: "content", content: { type: "image", mimeType: "image/gif", data: "R0" } },
      { type: "terminal", terminalId: "t" },
      { type: "content", content: { type: "text", text: "b" } },
      7,
    ]),
    {
      text: "a\nb",
      content: [{ type: "diff", path: "p", oldText: null, newText: "n" }, {
        type: "image",
        mediaType: "image/gif",
        data: "R0",
      }],
      terminalIds: ["t"],
    },
  );
});

Deno.test("arguments that stream as content (Kimi) are no output, the final text is", () => {
  const update = (fields: Record<string, unknown>, hasInput: boolean) => {
    const event = translateUpdate({ sessionUpdate: "tool_call_update", toolCallId: "a", ...fields }, {
      hasInput: () => hasInput,
    });
    return event.type === "tool" ? event.change.output : null;
  };
  const text = (value: string) => ({ content: [{ type: "content", content: { type: "text", text: value } }] });
  assert.equal(update({ status: "in_progress", ...text('{"command":"l') }, false), undefined);
  assert.equal(
    update({ status: "in_progress", rawInput: { command: "ls" }, ...text('{"command":"ls"}') }, false),
    undefined,
  );
  assert.deepEqual(update({ status: "in_progress", ...text('{"a":1}') }, true), { mode: "replace", text: '{"a":1}' });
  assert.deepEqual(update({ status: "completed", ...text('{"a":1}') }, false), { mode: "replace", text: '{"a":1}' });
});

Deno.test("a permission request makes the call when it is its first sight, and changes little when it is not", () => {
  const call = { toolCallId: "a", title: "t", kind: "execute", rawInput: { command: "ls" } };
  assert.deepEqual(permissionToolChange(call, fresh, false), {
    toolCallId: "a",
    isStart: true,
    status: "pending",
    title: "t",
    toolKind: "execute",
    input: { command: "ls" },
  });
  assert.deepEqual(permissionToolChange(call, { hasInput: () => true }, true), { toolCallId: "a" });
});
