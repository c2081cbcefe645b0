/** Shapes used by more than one namespace. */
import * as z from "zod/mini";
import { limits } from "./limits.ts";

/** Ids are made by whoever creates the thing (`crypto.randomUUID()` or a name) and must be safe in URLs and KV keys. */
export const Id = z.string().check(
  z.minLength(1),
  z.maxLength(128),
  z.regex(/^[A-Za-z0-9._:@-]+$/, "must hold only letters, digits and . _ : @ -"),
);
/** Milliseconds since the Unix epoch. */
export const TimeMs = z.int().check(z.nonnegative());
const Title = z.string().check(z.maxLength(limits.titleChars));
const Path = z.string().check(z.minLength(1), z.maxLength(limits.pathChars));

export const ModelInfo = z.object({
  provider: z.string().check(z.maxLength(128)),
  id: z.string().check(z.minLength(1), z.maxLength(256)),
  name: z.optional(z.string().check(z.maxLength(256))),
  reasoning: z.optional(z.boolean()),
  contextWindow: z.optional(z.int().check(z.positive())),
});
export type ModelInfo = z.infer<typeof ModelInfo>;

/** An agent that a runner can start, or says why it cannot. */
export const AgentInfo = z.object({
  /** Stable preset name ("pi", "claude", "codex", "gemini", "opencode", "kimi", "demo") or "custom:<name>". */
  id: Id,
  name: Title,
  /** How the runner drives it. */
  transport: z.enum(["acp", "pi-rpc"]),
  available: z.boolean(),
  /** What is missing and how to get it, when not available. */
  missing: z.optional(z.string().check(z.maxLength(1_000))),
  version: z.optional(z.string().check(z.maxLength(64))),
  /** True only for the built-in demo agent: label it as such wherever it appears. */
  isDemo: z.optional(z.boolean()),
});
export type AgentInfo = z.infer<typeof AgentInfo>;

/** Which agent a session runs: enough to name it in a list. */
export const SessionAgent = z.object({ id: Id, name: Title, isDemo: z.optional(z.boolean()) });
export type SessionAgent = z.infer<typeof SessionAgent>;

/**
 * What a session is doing. `waiting`: for a person (an interaction is pending). `idle`: for the next prompt.
 * `ended`: its agent process is gone; `SessionInfo.ended` says how.
 */
export const Activity = z.enum(["starting", "working", "waiting", "idle", "ended"]);
export type Activity = z.infer<typeof Activity>;

export const SessionEnd = z.object({
  /** `closed`: a person ended it. `runner_stopped`: its runner was stopped. `failed`: the agent could not start or crashed. `lost`: the host died without a word. */
  reason: z.enum(["closed", "runner_stopped", "failed", "lost"]),
  detail: z.optional(z.string().check(z.maxLength(8_192))),
  at: TimeMs,
});
export type SessionEnd = z.infer<typeof SessionEnd>;

/** A session as lists show it. */
export const SessionInfo = z.object({
  sessionId: Id,
  /** Path of the session's page on the hub, "/session/<id>". */
  shareUrl: z.string().check(z.maxLength(512)),
  cwd: Path,
  sessionName: z.nullable(Title),
  agent: SessionAgent,
  model: z.nullable(ModelInfo),
  runnerId: z.nullable(Id),
  runnerName: z.nullable(Title),
  startedAt: TimeMs,
  /** When the agent or a person last did something in it. */
  lastActivityAt: TimeMs,
  /** Whether the session's host is connected to the hub now. */
  isActive: z.boolean(),
  activity: Activity,
  /** How many interactions wait for a person. */
  attention: z.int().check(z.nonnegative()),
  /** Whether there are entries that its owner has not seen. */
  unread: z.boolean(),
  viewerCount: z.int().check(z.nonnegative()),
  /** First line of the newest message, for previews. */
  preview: z.optional(z.string().check(z.maxLength(200))),
  ended: z.nullable(SessionEnd),
  /** Whether the runner can start its agent again with this conversation. */
  isResumable: z.boolean(),
  parentSessionId: z.nullable(Id),
});
export type SessionInfo = z.infer<typeof SessionInfo>;

/** What lists show of a runner's terminals; those that are sessions are in the list of sessions. */
export const RunnerTerminals = z.object({
  count: z.int().check(z.nonnegative()),
  /** Those that ask for a person, and with what. */
  attention: z.array(z.object({
    terminalId: Id,
    /** As on its tab. */
    name: z.string().check(z.maxLength(limits.titleChars)),
    text: z.string().check(z.maxLength(200)),
    at: TimeMs,
  })).check(z.maxLength(32)),
  /** When a list of them last changed: who shows one reads it again. */
  changedAt: TimeMs,
});
export type RunnerTerminals = z.infer<typeof RunnerTerminals>;

/** A runner as lists show it. */
export const RunnerInfo = z.object({
  runnerId: Id,
  name: Title,
  roots: z.array(Path).check(z.maxLength(64)),
  platform: z.string().check(z.maxLength(64)),
  version: z.string().check(z.maxLength(64)),
  agents: z.array(AgentInfo).check(z.maxLength(64)),
  sessionCount: z.int().check(z.nonnegative()),
  isConnected: z.boolean(),
  lastSeenAt: TimeMs,
  warnings: z.array(z.string().check(z.maxLength(1_000))).check(z.maxLength(32)),
  /** Absent: it is not connected, or too old to say. */
  terminals: z.optional(RunnerTerminals),
  /** Hosts beside its own machine that its tunnels may lead to. */
  tunnelHosts: z.optional(z.array(z.string().check(z.maxLength(253))).check(z.maxLength(64))),
});
export type RunnerInfo = z.infer<typeof RunnerInfo>;

/** A file sent along with a prompt. Exactly one of `data` (base64) and `url` (a hub path) is set. */
export const Attachment = z.object({
  attachmentId: z.optional(Id),
  mediaType: z.string().check(z.maxLength(128)),
  filename: z.optional(z.string().check(z.maxLength(255))),
  data: z.optional(z.string().check(z.maxLength(4 * 1024 * 1024))),
  url: z.optional(z.string().check(z.maxLength(1_024))),
});
export type Attachment = z.infer<typeof Attachment>;

/** How much of a session's log a client has: the log's epoch and the last seq that it applied. */
export const Cursor = z.object({ epoch: z.int().check(z.nonnegative()), seq: z.int().check(z.nonnegative()) });
export type Cursor = z.infer<typeof Cursor>;

/** A typed error on any namespace. Codes are stable; messages are for people. */
export const ErrorMessage = z.object({
  type: z.literal("error"),
  code: z.enum([
    "bad_frame", // not JSON, or not a message or array of messages
    "too_large", // over limits.frameBytes or another size bound
    "invalid_message", // a known type with a wrong field
    "unauthorized", // the credential is missing, wrong or revoked
    "not_found", // no such thing, or not yours
    "gap", // a record's seq was not the next one
    "stale_epoch", // a newer registration of this producer exists
    "rate_limited",
    "unavailable", // KV or the runner cannot be reached now; try again
    "conflict",
    "protocol_version",
    "internal",
  ]),
  message: z.string().check(z.maxLength(2_000)),
  /** Dotted path of the field that was wrong. */
  field: z.optional(z.string().check(z.maxLength(256))),
  /** The op, requestId or generation that this answers. */
  ref: z.optional(z.string().check(z.maxLength(128))),
  sessionId: z.optional(Id),
  /** With `rate_limited`: how long to wait before trying again. */
  retryAfterMs: z.optional(z.int().check(z.nonnegative())),
});
export type ErrorMessage = z.infer<typeof ErrorMessage>;
export type ErrorCode = ErrorMessage["code"];

export const Ping = z.object({ type: z.literal("ping"), at: z.optional(TimeMs) });
export const Pong = z.object({ type: z.literal("pong"), at: z.optional(TimeMs) });

/**
 * The hub is about to stop: it closes this socket with closeCodes.goingAway in `inMs` at the latest, after everything that it
 * received is committed. Whoever can should prepare to reconnect.
 */
export const GoingAway = z.object({ type: z.literal("going_away"), inMs: z.int().check(z.nonnegative()) });
