import assert from "node:assert/strict";
import fc from "fast-check";
import { InteractionBody, MetaPatch } from "@/protocol/mod.ts";
import { describeTool, translatePiEvent } from "./pi_events.ts";

Deno.test("any JSON whatever is translated without an error, and what it makes fits its schema", () => {
  const types = fc.constantFrom(
    "message_update",
    "message_end",
    "tool_execution_start",
    "tool_execution_update",
    "tool_execution_end",
    "auto_retry_start",
    "auto_retry_end",
    "compaction_end",
    "session_info_changed",
    "extension_ui_request",
    "extension_error",
    "other",
  );
  const fields = fc.dictionary(
    fc.constantFrom(
      "message",
      "assistantMessageEvent",
      "toolCallId",
      "args",
      "result",
      "method",
      "id",
      "title",
      "options",
      "timeout",
      "prefill",
      "errorMessage",
      "attempt",
    ),
    fc.oneof(fc.jsonValue(), fc.constantFrom("select", "confirm", "input", "editor", "notify")),
  );
  fc.assert(
    fc.property(types, fields, (type, rest) => {
      for (const action of translatePiEvent({ ...rest, type })) {
        if (action.type === "meta") MetaPatch.parse(action.patch);
        if (action.type === "dialog") InteractionBody.parse(action.dialog.body);
      }
    }),
  );
});

Deno.test("a select of allow and deny words is a permission, any other a question", () => {
  const kinds = (...options: string[]) => {
    const [action] = translatePiEvent({
      type: "extension_ui_request",
      id: "d",
      method: "select",
      title: "Allow?\n\n rm",
      options,
    });
    return action?.type === "dialog"
      ? [action.dialog.body.interaction, ...action.dialog.body.options.map((option) => option.kind)]
      : [];
  };
  assert.deepEqual(kinds("Allow once", "Allow always", "Deny"), [
    "permission",
    "allow_once",
    "allow_always",
    "reject_once",
  ]);
  assert.deepEqual(kinds("Yes", "No"), ["permission", "allow_once", "reject_once"]);
  assert.deepEqual(kinds("Allow", "Ask me later"), ["question", undefined, undefined]);
});

Deno.test("pi's own tools have titles, kinds, places and diffs; others go by their name", () => {
  assert.deepEqual(describeTool("bash", { command: "ls -la\nls" }), {
    toolName: "bash",
    title: "ls -la",
    toolKind: "execute",
  });
  assert.deepEqual(describeTool("edit", { path: "a", oldText: "1", newText: "2" }), {
    toolName: "edit",
    title: "edit a",
    toolKind: "edit",
    locations: [{ path: "a" }],
    content: [{ type: "diff", path: "a", oldText: "1", newText: "2" }],
  });
  assert.deepEqual(describeTool("constructor", {}), {
    toolName: "constructor",
    title: "constructor",
    toolKind: "other",
  });
});

Deno.test("the exit code comes from the result, and from its text in older versions", () => {
  const exit = (result: Record<string, unknown>) => {
    const [action] = translatePiEvent({
      type: "tool_execution_end",
      toolCallId: "a",
      toolName: "bash",
      result,
      isError: true,
    });
    return action?.type === "tool" ? [action.change.status, action.change.exitCode] : [];
  };
  assert.deepEqual(exit({ structuredContent: { exit_code: 3 } }), ["failed", 3]);
  assert.deepEqual(exit({ content: [{ type: "text", text: "oops\n\nCommand exited with code 4" }] }), ["failed", 4]);
  assert.deepEqual(exit({ content: [] }), ["failed", undefined]);
});
