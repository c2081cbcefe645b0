/**
 * What a person asks of a session or a runner, and the receipts that it ends in (design §5). A command carries a
 * client-made `op`; the hub keeps it until its runner reports `applied` or `rejected`, delivery may repeat, effect may not.
 */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { Attachment, Id, TimeMs } from "./shared.ts";

export const Op = Id;

/** Commands to a session, carried out by its host. */
export const SessionCommand = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("prompt"),
    text: z.string().check(z.maxLength(limits.promptChars)),
    attachments: z.optional(z.array(Attachment).check(z.maxLength(8))),
    /** `steer`: into the running turn. `follow_up`: after it. `prompt`: now when idle; while working, queued after the turn. */
    delivery: z.enum(["prompt", "steer", "follow_up"]),
  }),
  z.object({ kind: z.literal("cancel") }),
  z.object({
    kind: z.literal("answer"),
    /** Id of the interaction entry. */
    entryId: Id,
    outcome: z.enum(["selected", "text", "cancelled"]),
    optionId: z.optional(z.string().check(z.maxLength(256))),
    text: z.optional(z.string().check(z.maxLength(limits.promptChars))),
  }),
  z.object({
    kind: z.literal("set_model"),
    modelId: z.string().check(z.maxLength(256)),
    provider: z.optional(z.string().check(z.maxLength(128))),
  }),
  z.object({ kind: z.literal("set_mode"), modeId: z.string().check(z.maxLength(256)) }),
  z.object({
    kind: z.literal("set_config_option"),
    optionId: z.string().check(z.maxLength(128)),
    value: z.string().check(z.maxLength(512)),
  }),
  z.object({ kind: z.literal("set_thinking_level"), level: z.string().check(z.maxLength(64)) }),
  z.object({ kind: z.literal("compact"), instructions: z.optional(z.string().check(z.maxLength(8_000))) }),
  /** Starts a new conversation in the same session (pi's new_session). */
  z.object({ kind: z.literal("new_conversation") }),
  z.object({
    kind: z.literal("rename"),
    title: z.string().check(z.trim(), z.minLength(1), z.maxLength(limits.titleChars)),
  }),
  /** Removes a prompt that waits in the queue. */
  z.object({ kind: z.literal("unqueue"), queuedOp: Op }),
]);
export type SessionCommand = z.infer<typeof SessionCommand>;

/** The agent id of sessions that are any command in a terminal. Such a session's terminal has the session's id. */
export const terminalAgentId = "terminal";

/** How to start an agent: a preset's id, a custom command line that speaks ACP, or any command in a terminal. */
export const AgentLaunch = z.object({
  agentId: Id,
  /** Only for agentId "custom" and terminalAgentId, and required there: program and arguments, run without a shell. */
  command: z.optional(
    z.array(z.string().check(z.minLength(1), z.maxLength(4_096))).check(z.minLength(1), z.maxLength(64)),
  ),
});
export type AgentLaunch = z.infer<typeof AgentLaunch>;

/** Commands to a runner, carried out by its daemon. */
export const RunnerCommand = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("new_session"),
    sessionId: Id,
    cwd: z.string().check(z.minLength(1), z.maxLength(limits.pathChars)),
    agent: AgentLaunch,
    prompt: z.optional(z.string().check(z.maxLength(limits.promptChars))),
    sessionName: z.optional(z.string().check(z.maxLength(limits.titleChars))),
  }),
  /** Ends a session: its agent is stopped, its timeline stays. */
  z.object({ kind: z.literal("kill_session"), sessionId: Id }),
  /** Starts the agent of an ended session again, with its conversation where the agent can load it. */
  z.object({ kind: z.literal("resume_session"), sessionId: Id }),
]);
export type RunnerCommand = z.infer<typeof RunnerCommand>;

/** A command on its way from the hub to a session host or a runner daemon. */
export const DeliveredCommand = z.object({
  type: z.literal("command"),
  op: Op,
  /** Set when a session host is to carry it out. */
  sessionId: z.optional(Id),
  command: z.union([SessionCommand, RunnerCommand]),
  /** Display name of the person who asked. */
  from: z.string().check(z.maxLength(256)),
  at: TimeMs,
  expiresAt: TimeMs,
});
export type DeliveredCommand = z.infer<typeof DeliveredCommand>;

/** The receipt from whoever carried it out. Sent again when the command is delivered again. */
export const CommandResult = z.object({
  type: z.literal("command_result"),
  op: Op,
  status: z.enum(["applied", "rejected"]),
  /** Why it was rejected, in a sentence for the person who asked. */
  reason: z.optional(z.string().check(z.maxLength(2_000))),
});
export type CommandResult = z.infer<typeof CommandResult>;

/** What a viewer is told of a command: from the hub's inbox and the receipts alone. */
export const CommandStatus = z.object({
  type: z.literal("command_status"),
  op: Op,
  sessionId: z.optional(Id),
  /** `accepted`: stored in the inbox, waits for its runner. */
  status: z.enum(["accepted", "applied", "rejected", "expired"]),
  reason: z.optional(z.string().check(z.maxLength(2_000))),
  /** The command itself, while it waits, so that every device shows it. */
  command: z.optional(z.union([SessionCommand, RunnerCommand])),
  from: z.optional(z.string().check(z.maxLength(256))),
  at: TimeMs,
});
export type CommandStatus = z.infer<typeof CommandStatus>;
