import assert from "node:assert/strict";
import { limits, type ToolCallBody } from "@/protocol/mod.ts";
import { boundContents, boundInput, fitToolBody, maxContents, maxDiffSideChars } from "./tool_body.ts";

const size = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).byteLength;

Deno.test("small things stay as they are", () => {
  const body: ToolCallBody = {
    toolCallId: "a",
    input: { path: "x" },
    output: "ok",
    content: [{ type: "diff", path: "x", oldText: null, newText: "y" }],
    locations: [{ path: "x", line: 3 }],
  };
  assert.deepEqual(fitToolBody(body), body);
  assert.equal(boundInput(undefined), undefined);
});

Deno.test("what is too large is replaced by words that say so", () => {
  assert.match(JSON.stringify(boundInput("x".repeat(600_000))), /input of 600002 characters/);
  const diff = { type: "diff" as const, path: "big.txt", oldText: "", newText: "y".repeat(maxDiffSideChars + 1) };
  assert.match(JSON.stringify(boundContents([diff])), /diff of big.txt .* not shown/);
  const image = { type: "image" as const, mediaType: "image/png", data: "A".repeat(2_000_000) };
  assert.match(JSON.stringify(boundContents([image])), /image \(image\/png, 2000000 base64 characters\) not shown/);
  const many = Array.from({ length: maxContents + 5 }, () => ({ type: "text" as const, text: "t" }));
  assert.deepEqual(boundContents(many).at(-1), { type: "text", text: "5 more contents are not shown" });
});

Deno.test("a body always fits its entry, also when every character takes six bytes of JSON", () => {
  const body: ToolCallBody = {
    toolCallId: "a",
    input: "\u0000".repeat(80_000),
    output: "\u0001".repeat(limits.toolOutputChars),
    content: Array.from({ length: 6 }, () => ({
      type: "diff" as const,
      path: "x",
      oldText: "\u0002".repeat(maxDiffSideChars - 10),
      newText: null,
    })),
    locations: [],
  };
  assert.ok(size(body) > limits.entryBytes);
  assert.ok(size(fitToolBody(body)) < limits.entryBytes);
});
