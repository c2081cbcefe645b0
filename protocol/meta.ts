/**
 * A session's meta: one document per session that is not part of the timeline. The session host patches it with
 * durable records; its version is the seq of the last patch. What is pending is state here or an entry, never an event.
 */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { ListeningPort } from "./tunnel.ts";
import { Activity, ModelInfo, SessionEnd } from "./shared.ts";

export const PlanEntry = z.object({
  content: z.string().check(z.maxLength(4_000)),
  priority: z.optional(z.enum(["high", "medium", "low"])),
  status: z.enum(["pending", "in_progress", "completed", "cancelled"]),
});
export type PlanEntry = z.infer<typeof PlanEntry>;

export const TokenUsage = z.object({
  /** Tokens in the context now, and its size: what the context meter shows. */
  contextTokens: z.optional(z.number().check(z.nonnegative())),
  contextSize: z.optional(z.number().check(z.nonnegative())),
  input: z.optional(z.number().check(z.nonnegative())),
  output: z.optional(z.number().check(z.nonnegative())),
  cacheRead: z.optional(z.number().check(z.nonnegative())),
  cacheWrite: z.optional(z.number().check(z.nonnegative())),
  cost: z.optional(z.object({ amount: z.number().check(z.nonnegative()), currency: z.string().check(z.maxLength(8)) })),
});
export type TokenUsage = z.infer<typeof TokenUsage>;

export const SessionMode = z.object({
  id: z.string().check(z.maxLength(256)),
  name: z.string().check(z.maxLength(256)),
  description: z.optional(z.string().check(z.maxLength(2_000))),
});

/** An agent option with a closed list of values (ACP's select config option). */
export const ConfigOption = z.object({
  id: z.string().check(z.maxLength(128)),
  name: z.string().check(z.maxLength(256)),
  category: z.optional(z.string().check(z.maxLength(64))),
  description: z.optional(z.string().check(z.maxLength(2_000))),
  currentValue: z.string().check(z.maxLength(512)),
  options: z.array(
    z.object({
      value: z.string().check(z.maxLength(512)),
      name: z.string().check(z.maxLength(256)),
      description: z.optional(z.string().check(z.maxLength(2_000))),
    }),
  ).check(z.maxLength(500)),
});
export type ConfigOption = z.infer<typeof ConfigOption>;

export const AvailableCommand = z.object({
  name: z.string().check(z.maxLength(256)),
  description: z.optional(z.string().check(z.maxLength(2_000))),
  hint: z.optional(z.string().check(z.maxLength(1_000))),
});

/** A prompt that waits inside the agent or host for its turn. */
export const QueuedPrompt = z.object({
  op: z.string().check(z.maxLength(128)),
  text: z.string().check(z.maxLength(2_000)),
  delivery: z.enum(["prompt", "steer", "follow_up"]),
});

export const SessionMeta = z.object({
  title: z.nullable(z.string().check(z.maxLength(limits.titleChars))),
  activity: Activity,
  /** Interactions that wait for a person. */
  attention: z.int().check(z.nonnegative()),
  lastActivityAt: z.int().check(z.nonnegative()),
  preview: z.nullable(z.string().check(z.maxLength(200))),
  model: z.nullable(ModelInfo),
  models: z.array(ModelInfo).check(z.maxLength(1_000)),
  mode: z.nullable(
    z.object({
      currentModeId: z.string().check(z.maxLength(256)),
      availableModes: z.array(SessionMode).check(z.maxLength(64)),
    }),
  ),
  configOptions: z.array(ConfigOption).check(z.maxLength(64)),
  thinkingLevel: z.nullable(
    z.object({
      current: z.string().check(z.maxLength(64)),
      levels: z.array(z.string().check(z.maxLength(64))).check(z.maxLength(16)),
    }),
  ),
  plan: z.array(PlanEntry).check(z.maxLength(200)),
  usage: z.nullable(TokenUsage),
  commands: z.array(AvailableCommand).check(z.maxLength(2_000)),
  queue: z.array(QueuedPrompt).check(z.maxLength(50)),
  isCompacting: z.boolean(),
  retry: z.nullable(
    z.object({ message: z.string().check(z.maxLength(2_000)), attempt: z.optional(z.int()), at: z.int() }),
  ),
  /** What this agent can do, so that the UI offers only that. */
  can: z.object({
    steer: z.boolean(),
    followUp: z.boolean(),
    image: z.boolean(),
    compact: z.boolean(),
    newConversation: z.boolean(),
    resume: z.boolean(),
  }),
  ended: z.nullable(SessionEnd),
  /** Ports on which processes of the session listen now. */
  ports: z.optional(z.array(ListeningPort).check(z.maxLength(64))),
});
export type SessionMeta = z.infer<typeof SessionMeta>;

/** A shallow patch: each field given replaces the whole field. */
export const MetaPatch = z.partial(SessionMeta);
export type MetaPatch = z.infer<typeof MetaPatch>;

/** What a session's meta is before its host has said anything. */
export function initialMeta(): SessionMeta {
  return {
    title: null,
    activity: "starting",
    attention: 0,
    lastActivityAt: 0,
    preview: null,
    model: null,
    models: [],
    mode: null,
    configOptions: [],
    thinkingLevel: null,
    plan: [],
    usage: null,
    commands: [],
    queue: [],
    isCompacting: false,
    retry: null,
    can: { steer: false, followUp: false, image: false, compact: false, newConversation: false, resume: false },
    ended: null,
  };
}

/** Applies a patch; fields that the patch does not name stay. */
export function patchMeta(meta: SessionMeta, patch: MetaPatch): SessionMeta {
  return { ...meta, ...patch };
}
