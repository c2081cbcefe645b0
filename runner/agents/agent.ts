/**
 * What every agent adapter offers to the session host, and what the host offers to it. An adapter translates one
 * agent's own protocol into entries, deltas and meta; it owns the agent's process and nothing else.
 */
import type {
  AgentLaunch,
  Attachment,
  EntryBodies,
  EntryHead,
  EntryKind,
  MetaPatch,
  SessionCommand,
  SessionEnd,
  SessionMeta,
} from "@/protocol/mod.ts";

/** What a caller of `upsert` says of an entry; the writer fills in index, seq and text length. */
export interface EntryDraft<K extends EntryKind = EntryKind> {
  /** Stable for life. The first upsert of an id decides its place in the timeline. */
  id: string;
  kind: K;
  head: Omit<EntryHead, "textLength">;
  body: EntryBodies[K];
}

/** The only way into a session's log. Synchronous: when a call returns, the change is in the journal. */
export interface SessionWriter {
  /** A durable record: makes the entry or replaces it. Its body holds the full text so far. */
  upsert<K extends EntryKind>(draft: EntryDraft<K>): void;
  /** Appends to the stream text (`text` or `output`) of an open entry; travels as a delta. Throws for an unknown or closed entry. */
  append(entryId: string, text: string): void;
  /** The entry as it stands, appended text included. */
  entry<K extends EntryKind>(entryId: string): EntryDraft<K> | undefined;
  /** Ids of entries whose status is pending or running, in timeline order. */
  openEntryIds(): string[];
  patchMeta(patch: MetaPatch): void;
  meta(): SessionMeta;
}

export interface AgentContext {
  launch: AgentLaunch;
  /** The real path of the working directory. */
  cwd: string;
  /** Environment of the agent's process. */
  env: Record<string, string>;
  session: SessionWriter;
  /** The agent's own session id of an earlier run, to load or resume; null for a new conversation. */
  resumeId: string | null;
  /** Keeps the agent's own session id for the next run. */
  saveResumeId(resumeId: string): void;
  /** Structured log line of the host. */
  log(level: "info" | "warning" | "error", message: string, fields?: Record<string, unknown>): void;
  /** For agents without turns: whether it works, and whether it asks for a person, as seen from outside. */
  observe?(state: { isWorking: boolean; needsYou: boolean }): void;
  /** Where an agent that is a terminal lets viewers in (a unix socket's path); absent: nowhere. */
  terminalSocket?: string;
}

export type TurnEnd =
  | { outcome: "completed" }
  | { outcome: "cancelled" }
  /** The agent reported an error; the adapter has already put a notice with its text into the timeline. */
  | { outcome: "failed"; message: string };

export interface AgentExit {
  code: number | null;
  signal: string | null;
  /** The last lines of its stderr, at most 4,000 characters. */
  stderrTail: string;
  /** How the session ends by this, when the adapter has said it in the timeline; absent: it failed, and the host says so. */
  end?: Pick<SessionEnd, "reason" | "detail">;
}

/** The agent could not be started or did not answer its handshake. `stderrTail` goes into the session's timeline. */
export class AgentStartError extends Error {
  override name = "AgentStartError";
  constructor(message: string, readonly stderrTail: string) {
    super(message);
  }
}

/** The agent cannot do what was asked; the message says so to the person who asked. The command is then rejected. */
export class AgentRefusal extends Error {
  override name = "AgentRefusal";
}

type CommandOf<K extends SessionCommand["kind"]> = Extract<SessionCommand, { kind: K }>;

export interface Agent {
  /**
   * Starts the process and its conversation (new, or loaded from resumeId where the agent can), patches meta (can, model,
   * models, mode, configOptions, commands, …). Rejects with AgentStartError.
   */
  start(): Promise<void>;
  /** Runs one turn; called only while no other runs. Resolves at its real end, with every entry of the turn closed. Never rejects for what the agent did. */
  prompt(prompt: { text: string; attachments: Attachment[] }): Promise<TurnEnd>;
  /** Into the running turn. Only called when meta.can.steer. */
  steer(prompt: { text: string; attachments: Attachment[] }): Promise<void>;
  /** Stops the running turn; the pending `prompt` then resolves `cancelled`. Pending interactions are settled as cancelled. Does nothing when idle. */
  cancel(): Promise<void>;
  /**
   * Settles an interaction entry and closes it with `answer`. Rejects with AgentRefusal when it is not pending any more
   * (naming who answered) or the option does not exist.
   */
  answer(answer: CommandOf<"answer"> & { op: string; by: string }): Promise<void>;
  /** Model, mode, option, thinking level, compact, new conversation. Rejects with AgentRefusal when the agent has no such thing. */
  configure(
    command: CommandOf<
      "set_model" | "set_mode" | "set_config_option" | "set_thinking_level" | "compact" | "new_conversation"
    >,
  ): Promise<void>;
  /** Ends the process: closes stdin, then SIGTERM after 3 s, then SIGKILL after 2 s more, its whole process group. */
  stop(): Promise<void>;
  /** Resolves once when the process is gone, however that came. Open entries are closed by then. */
  readonly exited: Promise<AgentExit>;
}
