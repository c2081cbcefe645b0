/**
 * A session's meta: one document per session that is not part of the timeline. The session host patches it with
 * durable records; its version is the seq of the last patch. What is pending is state here or an entry, never an event.
 */
import * as z from "zod";
import { limits } from "./limits.ts";
import { ListeningPort } from "./tunnel.ts";
import { Activity, ModelInfo, SessionEnd } from "./shared.ts";

export const PlanEntry = z.object({
  content: z.string().max(4_000),
  priority: z.enum(["high", "medium", "low"]).optional(),
  status: z.enum(["pending", "in_progress", "completed", "cancelled"]),
});
export type PlanEntry = z.infer<typeof PlanEntry>;

export const TokenUsage = z.object({
  /** Tokens in the context now, and its size: what the context meter shows. */
  contextTokens: z.number().nonnegative().optional(),
  contextSize: z.number().nonnegative().optional(),
  input: z.number().nonnegative().optional(),
  output: z.number().nonnegative().optional(),
  cacheRead: z.number().nonnegative().optional(),
  cacheWrite: z.number().nonnegative().optional(),
  cost: z.object({ amount: z.number().nonnegative(), currency: z.string().max(8) }).optional(),
});
export type TokenUsage = z.infer<typeof TokenUsage>;

export const SessionMode = z.object({
  id: z.string().max(256),
  name: z.string().max(256),
  description: z.string().max(2_000).optional(),
});

/** An agent option with a closed list of values (ACP's select config option). */
export const ConfigOption = z.object({
  id: z.string().max(128),
  name: z.string().max(256),
  category: z.string().max(64).optional(),
  description: z.string().max(2_000).optional(),
  currentValue: z.string().max(512),
  options: z.array(
    z.object({ value: z.string().max(512), name: z.string().max(256), description: z.string().max(2_000).optional() }),
  ).max(500),
});
export type ConfigOption = z.infer<typeof ConfigOption>;

export const AvailableCommand = z.object({
  name: z.string().max(256),
  description: z.string().max(2_000).optional(),
  hint: z.string().max(1_000).optional(),
});

/** A prompt that waits inside the agent or host for its turn. */
export const QueuedPrompt = z.object({
  op: z.string().max(128),
  text: z.string().max(2_000),
  delivery: z.enum(["prompt", "steer", "follow_up"]),
});

export const SessionMeta = z.object({
  title: z.string().max(limits.titleChars).nullable(),
  activity: Activity,
  /** Interactions that wait for a person. */
  attention: z.number().int().nonnegative(),
  lastActivityAt: z.number().int().nonnegative(),
  preview: z.string().max(200).nullable(),
  model: ModelInfo.nullable(),
  models: z.array(ModelInfo).max(1_000),
  mode: z.object({ currentModeId: z.string().max(256), availableModes: z.array(SessionMode).max(64) }).nullable(),
  configOptions: z.array(ConfigOption).max(64),
  thinkingLevel: z.object({ current: z.string().max(64), levels: z.array(z.string().max(64)).max(16) }).nullable(),
  plan: z.array(PlanEntry).max(200),
  usage: TokenUsage.nullable(),
  commands: z.array(AvailableCommand).max(2_000),
  queue: z.array(QueuedPrompt).max(50),
  isCompacting: z.boolean(),
  retry: z.object({ message: z.string().max(2_000), attempt: z.number().int().optional(), at: z.number().int() })
    .nullable(),
  /** What this agent can do, so that the UI offers only that. */
  can: z.object({
    steer: z.boolean(),
    followUp: z.boolean(),
    image: z.boolean(),
    compact: z.boolean(),
    newConversation: z.boolean(),
    resume: z.boolean(),
  }),
  ended: SessionEnd.nullable(),
  /** Ports on which processes of the session listen now. */
  ports: z.array(ListeningPort).max(64).optional(),
});
export type SessionMeta = z.infer<typeof SessionMeta>;

/** A shallow patch: each field given replaces the whole field. */
export const MetaPatch = SessionMeta.partial();
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
