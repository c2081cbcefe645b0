/** What a timeline must hold after an ACP recording: read from the recording by other rules than the adapter's. */
import { objectOf, stringOf } from "@/runner/agents/read.ts";
import type { EntryDraft } from "@/runner/agents/agent.ts";
import type { Json, Line } from "./transcript.ts";

export interface Expected {
  /** All message text and all thought text, in order, without the borders of entries. */
  messages: string;
  thoughts: string;
  /** By tool call id, in order of their first sight. */
  tools: Map<string, { status: string; output: string; diffs: number; hasInput: boolean }>;
  permissions: number;
}

/** Reads the updates after the reply that opened the conversation. */
export function expectedOf(lines: Line[]): Expected {
  const expected: Expected = { messages: "", thoughts: "", tools: new Map(), permissions: 0 };
  const begin = lines.find((line) => line.dir === "in" && /session\/(load|resume)/.test(String(line.msg.method)));
  let isReplay = begin !== undefined;
  const deltas = new Map<string, string>();
  for (const { dir, msg } of lines) {
    if (begin && dir === "out" && msg.method === undefined && msg.id === begin.msg.id) isReplay = false;
    if (dir !== "out" || isReplay) continue;
    const params = objectOf(msg.params);
    if (msg.method === "session/request_permission") {
      expected.permissions++;
      see(expected, objectOf(params.toolCall));
    }
    if (msg.method !== "session/update") continue;
    const update = objectOf(params.update);
    const text = stringOf(objectOf(update.content).text) ?? "";
    if (update.sessionUpdate === "agent_message_chunk") expected.messages += text;
    if (update.sessionUpdate === "agent_thought_chunk") expected.thoughts += text;
    if (update.sessionUpdate !== "tool_call" && update.sessionUpdate !== "tool_call_update") continue;
    const tool = see(expected, update);
    if (typeof update.status === "string") tool.status = update.status;
    const delta = stringOf(objectOf(objectOf(update._meta).terminal_output).data);
    if (delta !== undefined) {
      const id = String(update.toolCallId);
      deltas.set(id, (deltas.get(id) ?? "") + delta);
      tool.output = deltas.get(id) ?? "";
    }
    const isFinal = tool.status === "completed" || tool.status === "failed";
    const printed = textOf(update.content);
    if (printed !== "" && (isFinal || !printed.startsWith('{"'))) tool.output = printed;
    else if (isFinal && tool.output === "") tool.output = rawText(update.rawOutput);
  }
  return expected;
}

function see(expected: Expected, call: Json): { status: string; output: string; diffs: number; hasInput: boolean } {
  const id = String(call.toolCallId);
  const tool = expected.tools.get(id) ?? { status: "pending", output: "", diffs: 0, hasInput: false };
  expected.tools.set(id, tool);
  const contents = Array.isArray(call.content) ? call.content : [];
  const diffs = contents.filter((content) => objectOf(content).type === "diff").length;
  if (diffs > 0) tool.diffs = diffs;
  tool.hasInput ||= call.rawInput !== undefined;
  return tool;
}

function textOf(contents: unknown): string {
  return (Array.isArray(contents) ? contents : []).map((content) => stringOf(objectOf(objectOf(content).content).text))
    .filter((text) => text !== undefined && text !== "").join("\n");
}

function rawText(raw: unknown): string {
  const fields = objectOf(raw);
  return stringOf(raw) ?? stringOf(fields.output) ?? stringOf(fields.content) ?? "";
}

/** A timeline without what differs from run to run (ids and times), for comparison. */
export function normalised(timeline: EntryDraft[]): unknown[] {
  const index = new Map(timeline.map((entry, place) => [entry.id, place]));
  return timeline.map((entry) => {
    const { startedAt: _startedAt, endedAt, ...head } = entry.head;
    const body = objectOf(structuredClone(entry.body));
    if (typeof body.toolEntryId === "string") body.toolEntryId = index.get(body.toolEntryId);
    if (body.answer) body.answer = { ...objectOf(body.answer), at: 0, op: "" };
    return { kind: entry.kind, head: { ...head, isEnded: endedAt !== undefined }, body };
  });
}
