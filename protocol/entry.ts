/**
 * The entries of a session's timeline. The hub reads `kind` and `head`; `body` is opaque to it (design §4) and is
 * typed here for the two ends that write and show it: the session host and the viewer.
 */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { Attachment, Id, TimeMs } from "./shared.ts";

export const EntryKind = z.enum(["user_message", "agent_message", "thought", "tool_call", "interaction", "notice"]);
export type EntryKind = z.infer<typeof EntryKind>;

/** `pending`: announced, or waits for a person. `running`: open, may still grow by deltas. The other three are final. */
export const EntryStatus = z.enum(["pending", "running", "completed", "failed", "cancelled"]);
export type EntryStatus = z.infer<typeof EntryStatus>;

export const EntryHead = z.object({
  status: EntryStatus,
  startedAt: TimeMs,
  endedAt: z.optional(TimeMs),
  title: z.optional(z.string().check(z.maxLength(limits.titleChars))),
  /** ACP's tool kind: read, edit, delete, move, search, execute, think, fetch, switch_mode, other. */
  toolKind: z.optional(z.string().check(z.maxLength(32))),
  /** Waits for a person. */
  attention: z.optional(z.boolean()),
  /** UTF-16 length of the body's stream text (`text` or `output`): where the next delta must begin. */
  textLength: z.int().check(z.nonnegative()),
});
export type EntryHead = z.infer<typeof EntryHead>;

/** An entry as it travels in an `event`; its `seq` is the event's. */
export const WireEntry = z.object({
  id: Id,
  index: z.int().check(z.nonnegative()),
  kind: EntryKind,
  head: EntryHead,
  body: z.unknown(),
});
export type WireEntry = z.infer<typeof WireEntry>;

/** An entry as it is stored and shown: with the log position of its last change. */
export const Entry = z.extend(WireEntry, { seq: z.int().check(z.positive()) });
export type Entry = z.infer<typeof Entry>;

/** Appends text to an open entry. Idempotent: `at` is the UTF-16 length of the stream text before it. */
export const Delta = z.object({
  type: z.literal("delta"),
  sessionId: Id,
  epoch: z.int().check(z.nonnegative()),
  entryId: Id,
  at: z.int().check(z.nonnegative()),
  text: z.string().check(z.maxLength(limits.deltaChars)),
});
export type Delta = z.infer<typeof Delta>;

export const UserMessageBody = z.object({
  text: z.string(),
  attachments: z.optional(z.array(Attachment)),
  /** The command that it came from. */
  op: z.optional(z.string()),
  delivery: z.optional(z.enum(["prompt", "steer", "follow_up"])),
  /** Who typed it, when it came through the hub. */
  from: z.optional(z.string()),
});
export type UserMessageBody = z.infer<typeof UserMessageBody>;

/** Body of agent_message and thought. */
export const TextBody = z.object({ text: z.string() });
export type TextBody = z.infer<typeof TextBody>;

export const ToolContent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), text: z.string() }),
  /** `oldText` null: a new file. `newText` null: the file was deleted. */
  z.object({
    type: z.literal("diff"),
    path: z.string(),
    oldText: z.nullable(z.string()),
    newText: z.nullable(z.string()),
  }),
  z.object({ type: z.literal("image"), mediaType: z.string(), data: z.string() }),
]);
export type ToolContent = z.infer<typeof ToolContent>;

export const ToolCallBody = z.object({
  toolCallId: z.string(),
  /** The agent's own name of the tool, where it has one. */
  toolName: z.optional(z.string()),
  input: z.optional(z.unknown()),
  /** Stream text: what the tool printed so far. */
  output: z.string(),
  /** Characters cut out of the middle of `output` to stay inside limits.toolOutputChars. */
  outputCut: z.optional(z.int().check(z.positive())),
  content: z.array(ToolContent),
  locations: z.array(z.object({ path: z.string(), line: z.optional(z.int()) })),
  exitCode: z.optional(z.nullable(z.int())),
});
export type ToolCallBody = z.infer<typeof ToolCallBody>;

export const InteractionOption = z.object({
  optionId: z.string(),
  name: z.string(),
  /** Choose by kind, never by position (reference agents.md §5). Questions have options without a kind. */
  kind: z.optional(z.enum(["allow_once", "allow_always", "reject_once", "reject_always"])),
});
export type InteractionOption = z.infer<typeof InteractionOption>;

/** How an interaction ended: chosen option, free text, or nobody's answer. */
export const InteractionAnswer = z.object({
  outcome: z.enum(["selected", "text", "cancelled"]),
  optionId: z.optional(z.string()),
  text: z.optional(z.string()),
  /** Name of whoever answered; absent when the agent withdrew the request. */
  by: z.optional(z.string()),
  op: z.optional(z.string()),
  at: TimeMs,
});
export type InteractionAnswer = z.infer<typeof InteractionAnswer>;

export const InteractionBody = z.object({
  interaction: z.enum(["permission", "question", "confirm", "input", "plan", "trust"]),
  message: z.optional(z.string()),
  /** The tool call entry that it is about. */
  toolEntryId: z.optional(z.string()),
  toolName: z.optional(z.string()),
  input: z.optional(z.unknown()),
  content: z.optional(z.array(ToolContent)),
  options: z.array(InteractionOption),
  /** Whether a free text answer is accepted (input, editor dialogs). */
  acceptsText: z.optional(z.boolean()),
  /** Text that the answer field starts with. */
  prefill: z.optional(z.string()),
  answer: z.optional(InteractionAnswer),
});
export type InteractionBody = z.infer<typeof InteractionBody>;

export const NoticeBody = z.object({
  level: z.enum(["info", "warning", "error"]),
  text: z.string(),
  /** Longer detail (last stderr lines, raw error), shown folded. */
  detail: z.optional(z.string()),
});
export type NoticeBody = z.infer<typeof NoticeBody>;

/** The body schema of each kind. */
export const entryBodies = {
  user_message: UserMessageBody,
  agent_message: TextBody,
  thought: TextBody,
  tool_call: ToolCallBody,
  interaction: InteractionBody,
  notice: NoticeBody,
} as const satisfies Record<EntryKind, z.ZodMiniType>;
export type EntryBodies = { [K in EntryKind]: z.infer<(typeof entryBodies)[K]> };

/** Whether deltas may still come for an entry of this status. */
export function isOpen(status: EntryStatus): boolean {
  return status === "pending" || status === "running";
}

/** The name of the body field that deltas append to. Only these kinds stream. */
export function streamField(kind: EntryKind): "text" | "output" | null {
  if (kind === "agent_message" || kind === "thought") return "text";
  return kind === "tool_call" ? "output" : null;
}
