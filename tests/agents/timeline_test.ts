/** Whatever an agent sends, in any order: nothing throws, nothing is lost or doubled, nothing stays open. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Timeline, type ToolChange } from "@/runner/agents/timeline.ts";
import { MemorySession } from "./memory_session.ts";

type Step =
  | { do: "text"; kind: "agent_message" | "thought"; text: string; messageId?: string }
  | { do: "tool"; change: ToolChange }
  | { do: "notice" }
  | { do: "turn"; end: "completed" | "cancelled" | "failed" };

const ids = fc.constantFrom("a", "b", "c");
const words = fc.string({ maxLength: 6, unit: "grapheme" });
const change: fc.Arbitrary<ToolChange> = fc.record({
  toolCallId: ids,
  isStart: fc.boolean(),
  status: fc.constantFrom("pending", "running", "completed", "failed"),
  title: words,
  input: fc.option(words, { nil: undefined }),
  output: fc.record({ mode: fc.constantFrom("append", "replace"), text: words }),
  exitCode: fc.integer({ min: 0, max: 9 }),
}, { requiredKeys: ["toolCallId"] });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("text" as const),
    kind: fc.constantFrom("agent_message" as const, "thought" as const),
    text: words,
    messageId: ids,
  }, { requiredKeys: ["do", "kind", "text"] }),
  fc.record({ do: fc.constant("tool" as const), change }),
  fc.record({ do: fc.constant("notice" as const) }),
  fc.record({
    do: fc.constant("turn" as const),
    end: fc.constantFrom("completed" as const, "cancelled" as const, "failed" as const),
  }),
);

Deno.test("any sequence of updates keeps every text once and closes everything at the turn's end", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const session = new MemorySession();
      const timeline = new Timeline(session);
      timeline.beginTurn();
      const said = { agent_message: "", thought: "" };
      const printed = new Map<string, string>();
      for (const item of steps) {
        if (item.do === "text") {
          timeline.text(item.kind, item.text, item.messageId);
          said[item.kind] += item.text;
        } else if (item.do === "tool") {
          const { toolCallId, output } = item.change;
          const entryId = timeline.tool(item.change);
          assert.ok(timeline.hasTool(toolCallId));
          const before = printed.get(entryId) ?? "";
          printed.set(
            entryId,
            output === undefined ? before : output.mode === "append" ? before + output.text : output.text,
          );
        } else if (item.do === "notice") timeline.notice("info", "n");
        else {
          timeline.endTurn(item.end);
          assert.deepEqual(session.openEntryIds(), []);
          timeline.beginTurn();
        }
      }
      timeline.endTurn("completed");
      assert.deepEqual(session.openEntryIds(), []);
      for (const kind of ["agent_message", "thought"] as const) {
        assert.equal(session.of(kind).map((entry) => entry.body.text).join(""), said[kind]);
      }
      for (const tool of session.of("tool_call")) assert.equal(tool.body.output, printed.get(tool.id));
      for (const entry of session.timeline()) assert.ok(entry.head.endedAt !== undefined);
    }),
    { numRuns: 300 },
  );
});
