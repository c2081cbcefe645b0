import assert from "node:assert/strict";
import type { ToolCallBody } from "@/protocol/entry.ts";
import { inputText, stripAnsi, toolSummary } from "./tool_summary.ts";

const body = (part: Partial<ToolCallBody>): ToolCallBody => ({
  toolCallId: "t",
  output: "",
  content: [],
  locations: [],
  ...part,
});
const head = (title: string | undefined, toolKind: string) => ({
  status: "completed" as const,
  startedAt: 0,
  textLength: 0,
  toolKind,
  ...(title === undefined ? {} : { title }),
});

Deno.test("the line names the file once, relative to the session's folder", () => {
  const file = body({ locations: [{ path: "/home/ana/app/src/a.ts" }] });
  assert.deepEqual(toolSummary(head("Write", "edit"), file, "/home/ana/app"), { title: "Write", target: "src/a.ts" });
  assert.deepEqual(toolSummary(head("Edit /home/ana/app/src/a.ts", "edit"), file, "/home/ana/app"), {
    title: "Edit src/a.ts",
    target: null,
  });
  assert.deepEqual(toolSummary(head(undefined, "read"), body({}), "/"), { title: "Read", target: null });
});

Deno.test("inputs read as commands where they are commands", () => {
  assert.equal(inputText({ command: "ls -l" }), "ls -l");
  assert.equal(inputText({ path: "a" }), '{\n  "path": "a"\n}');
  assert.equal(inputText({}), null);
  assert.equal(inputText(undefined), null);
});

Deno.test("terminal colours and titles vanish from output", () => {
  assert.equal(stripAnsi("\u001b[1;32mok\u001b[0m \u001b]0;title\u0007done"), "ok done");
});
