/** `/ws/runner`: one runner daemon to the hub. */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { CommandResult, DeliveredCommand } from "./command.ts";
import { HistoryPage, LoadHistory } from "./history.ts";
import { AgentInfo, ErrorMessage, GoingAway, Id, Ping, Pong, RunnerTerminals, SessionEnd, TimeMs } from "./shared.ts";
import { TerminalRequest, TerminalResult } from "./terminal.ts";
import { ExposePort, TunnelResult, UnexposePort } from "./tunnel.ts";

const Path = z.string().check(z.maxLength(limits.pathChars));

export const RegisterRunner = z.object({
  type: z.literal("register_runner"),
  protocolVersion: z.int(),
  /** Made once and kept in the runner's config. Belongs to the first user that registers it. */
  runnerId: Id,
  name: z.string().check(z.minLength(1), z.maxLength(limits.titleChars)),
  roots: z.array(Path).check(z.minLength(1), z.maxLength(64)),
  agents: z.array(AgentInfo).check(z.maxLength(64)),
  version: z.string().check(z.maxLength(64)),
  platform: z.string().check(z.maxLength(64)),
  /** Sessions whose hosts live on this machine now. */
  sessionIds: z.array(Id).check(z.maxLength(10_000)),
  /** Sessions that this machine keeps a journal of and that have no host now. The hub answers which of them were deleted. */
  storedSessionIds: z.optional(z.array(Id).check(z.maxLength(10_000))),
  warnings: z.array(z.string().check(z.maxLength(1_000))).check(z.maxLength(32)),
  terminals: z.optional(RunnerTerminals),
  /** Hosts beside this machine that its owner lets tunnels lead to. */
  tunnelHosts: z.optional(z.array(z.string().check(z.maxLength(253))).check(z.maxLength(64))),
});
export type RegisterRunner = z.infer<typeof RegisterRunner>;

/** The agents, roots, warnings or terminals changed. */
export const RunnerUpdate = z.extend(
  z.partial(z.pick(RegisterRunner, { agents: true, roots: true, warnings: true, terminals: true })),
  { type: z.literal("runner_update") },
);

/** A host died without ending its session itself (kill -9, crash): the daemon speaks for it. */
export const SessionKilled = z.object({ type: z.literal("session_killed"), sessionId: Id, end: SessionEnd });

export const FileEntry = z.object({
  name: z.string().check(z.maxLength(1_024)),
  kind: z.enum(["directory", "file", "symlink"]),
  isGitRepo: z.optional(z.boolean()),
});
export type FileEntry = z.infer<typeof FileEntry>;

/** Answers list_files. `path` is the resolved absolute folder. */
export const FileResult = z.object({
  type: z.literal("file_result"),
  requestId: Id,
  ok: z.boolean(),
  path: z.optional(Path),
  entries: z.optional(z.array(FileEntry).check(z.maxLength(2_000))),
  isTruncated: z.optional(z.boolean()),
  error: z.optional(z.string().check(z.maxLength(2_000))),
});
export type FileResult = z.infer<typeof FileResult>;

/** Answers list_agents, after the runner looked again. */
export const AgentsList = z.object({
  type: z.literal("agents_list"),
  requestId: Id,
  agents: z.array(AgentInfo).check(z.maxLength(64)),
});

/** Messages from a runner daemon. */
export const runnerClient = {
  register_runner: RegisterRunner,
  runner_update: RunnerUpdate,
  session_killed: SessionKilled,
  command_result: CommandResult,
  file_result: FileResult,
  agents_list: AgentsList,
  history_page: HistoryPage,
  terminal_result: TerminalResult,
  tunnel_result: TunnelResult,
  ping: Ping,
  pong: Pong,
} as const;

export const RunnerRegistered = z.object({
  type: z.literal("runner_registered"),
  runnerId: Id,
  /** Sessions that the hub believes to live on this runner; those without a host are answered with session_killed. */
  existingSessions: z.array(Id).check(z.maxLength(10_000)),
  /** Those of sessionIds and storedSessionIds that a person deleted: what this machine keeps of them is to be removed. */
  deletedSessions: z.optional(z.array(Id).check(z.maxLength(20_000))),
  serverTime: TimeMs,
});

/** Lists a folder for the picker. Relative to nothing: an absolute path, or empty for the roots. */
export const ListFiles = z.object({
  type: z.literal("list_files"),
  requestId: Id,
  path: Path,
  /** Only names that start with this (completion); case is ignored. */
  prefix: z.optional(z.string().check(z.maxLength(1_024))),
  directoriesOnly: z.optional(z.boolean()),
});
export const ListAgents = z.object({ type: z.literal("list_agents"), requestId: Id });

/** A person deleted the session: its host is to be stopped and what this machine keeps of it removed. */
export const SessionDeleted = z.object({ type: z.literal("session_deleted"), sessionId: Id });

/** Messages to a runner daemon. */
export const runnerServer = {
  runner_registered: RunnerRegistered,
  command: DeliveredCommand,
  list_files: ListFiles,
  list_agents: ListAgents,
  load_history: LoadHistory,
  terminal_request: TerminalRequest,
  expose_port: ExposePort,
  unexpose_port: UnexposePort,
  session_deleted: SessionDeleted,
  going_away: GoingAway,
  error: ErrorMessage,
  ping: Ping,
  pong: Pong,
} as const;
