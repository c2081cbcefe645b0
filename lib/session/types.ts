/** What the gateways and routes ask of the session store. The store owns the KV rows; gateways own sockets. */
import type {
  CommandStatus,
  Cursor,
  DeliveredCommand,
  Entry,
  Event,
  Register,
  RegisterRunner,
  RunnerInfo,
  SessionEnd,
  SessionInfo,
  SessionMeta,
} from "@/protocol/mod.ts";

/** Identity of a live producer connection: messages and disconnects of an older one change nothing (design §4, fences). */
export interface ProducerLease {
  sessionId: string;
  userId: string;
  /** Taken from KV by this registration. */
  producerEpoch: number;
  /** Epoch of the log: the producerEpoch that began it. Goes over the wire as `epoch`. */
  epoch: number;
  /** Committed so far. */
  ackedSeq: number;
}

export type RegisterResult =
  | { ok: true; lease: ProducerLease }
  | { ok: false; code: "not_found"; message: string };

/** Thrown by a commit whose lease was superseded by a newer registration. */
export class StaleEpochError extends Error {
  override name = "StaleEpochError";
}

export interface SessionLogStore {
  /**
   * Registers a producer: makes the session's row if it is new, takes the next producer epoch, and starts the log anew
   * (dropping stored entries) when the journal's logId differs from the stored one or the journal is behind what is committed
   * and came with a new logId. Another user's session id answers not_found. `isolateId` is recorded as the holder.
   */
  register(userId: string, isolateId: string, register: Register): Promise<RegisterResult>;
  /**
   * Commits records durably, in order, group-committed with other sessions'. Resolves with the new ackedSeq.
   * `events` must be contiguous from what was given before on; those at or below ackedSeq are skipped. May be called again
   * before it resolved. Rejects with StaleEpochError, with LogGapError, IndexConflictError, EntryTooLargeError or
   * LogQueueFullError of errors.ts (then nothing of the call counts), or with a KV error (then what is at or below
   * lease.ackedSeq counts). Calls that waited behind a failed one fail with it.
   */
  commit(lease: ProducerLease, events: readonly Event[]): Promise<number>;
  /** The producer's socket is gone. Ignored unless the lease is the current one. */
  release(lease: ProducerLease): Promise<void>;
  /** Which isolate holds the session's producer socket now, or null. */
  producerIsolate(sessionId: string): Promise<string | null>;
  /**
   * Marks how a session ended; ignored when it is already marked or `producerEpoch` is not the current one. The host's
   * own word (with its lease's producerEpoch) holds at once. A daemon's (without) holds as soon as no producer is
   * connected: it often arrives before the hub has noticed that the dead host's socket is gone. Either is void once a
   * newer producer registers.
   */
  end(userId: string, sessionId: string, end: SessionEnd, producerEpoch?: number): Promise<void>;

  /** How far the log is: epoch, last committed seq, which entries are stored. Null: no such session. */
  head(
    sessionId: string,
  ): Promise<{ epoch: number; ackedSeq: number; oldestIndex: number; nextIndex: number; trimmedSeq: number } | null>;
  meta(sessionId: string): Promise<{ seq: number; meta: SessionMeta }>;
  /** The newest page (limits.pageEntries, limits.pageBytes), ascending by index. Consistent with the cursor it returns or newer. */
  lastPage(sessionId: string): Promise<{ cursor: Cursor; meta: SessionMeta; entries: Entry[]; oldestIndex: number }>;
  /** Entries with index < before, ascending, at most `limit` and limits.pageBytes. */
  page(
    sessionId: string,
    before: number,
    limit: number,
  ): Promise<{ entries: Entry[]; hasMore: boolean; oldestIndex: number }>;
  /**
   * Entries changed after `seq`, ascending by seq, one bounded chunk; `meta` when it changed within it. When `trimmedSeq` is over
   * `seq`, changes may be missing: their entries were trimmed.
   */
  changes(
    sessionId: string,
    seq: number,
  ): Promise<{ cursor: Cursor; meta: SessionMeta | null; entries: Entry[]; more: boolean; trimmedSeq: number }>;
}

export interface SessionListStore {
  /** Makes the row of a session that a runner is about to start (activity "starting"). */
  create(
    userId: string,
    session: {
      sessionId: string;
      cwd: string;
      runnerId: string;
      agent: SessionInfo["agent"];
      sessionName: string | null;
    },
  ): Promise<void>;
  /** The session as this user sees it; null when it does not exist or is another user's. */
  info(userId: string, sessionId: string): Promise<SessionInfo | null>;
  /** All sessions of a user, newest activity first. */
  list(userId: string): Promise<SessionInfo[]>;
  /**
   * Removes a session and every row that belongs to it, for good: for a year its host cannot register it again, and `deletedOf`
   * knows it.
   */
  delete(userId: string, sessionId: string): Promise<boolean>;
  /**
   * As `delete`, for retention: only while the owner row has this versionstamp (no host registered meanwhile), and nothing keeps the
   * session from coming back with its whole journal when its host should register again.
   */
  forget(userId: string, sessionId: string, ownerVersion: string): Promise<boolean>;
  /** Removes what a deletion that was cut short left; false when the session was not being deleted. */
  finishDeletion(userId: string, sessionId: string): Promise<boolean>;
  /** Those of the ids whose sessions were deleted by their owner. */
  deletedOf(sessionIds: readonly string[]): Promise<string[]>;
  /** Remembers up to which seq the user has seen a session. */
  markSeen(userId: string, sessionId: string, seq: number): Promise<void>;
  /** Tells how many viewers this isolate serves; counted in SessionInfo.viewerCount while the isolate lives. */
  setViewers(userId: string, sessionId: string, isolateId: string, count: number): Promise<void>;
}

export interface InboxStore {
  /**
   * Stores a command for a session host (`session:<id>`) or a runner (`runner:<id>`). Storing the same op again answers
   * with its current status and stores nothing. Rejects with InboxFullError at limits.inboxCommands.
   */
  put(target: InboxTarget, userId: string, command: DeliveredCommand): Promise<CommandStatus>;
  /** Commands that wait, oldest first; expired ones are settled as expired and left out. */
  pending(target: InboxTarget): Promise<DeliveredCommand[]>;
  /** Those of these targets for which something waits. */
  waiting(targets: readonly InboxTarget[]): Promise<InboxTarget[]>;
  /** Settles a command by its receipt. Returns the status to show, or null when the op is unknown or already settled. */
  settle(
    target: InboxTarget,
    op: string,
    status: "applied" | "rejected" | "expired",
    reason?: string,
  ): Promise<CommandStatus | null>;
  /** Removes the waiting commands that name a session, as if they had never been put: it was deleted. */
  withdraw(target: InboxTarget, sessionId: string): Promise<void>;
  /**
   * Expires what is past its time, forgets outcomes that were kept long enough, and removes what a crash left of large commands.
   * `puts`: how many commands were ever put. `isEmpty`: no row but that count is left.
   */
  sweep(target: InboxTarget): Promise<{ puts: number; isEmpty: boolean }>;
  /** Status of an op of this target: waiting or settled (kept for 24 h); null when unknown. */
  status(target: InboxTarget, op: string): Promise<CommandStatus | null>;
}
export type InboxTarget = `session:${string}` | `runner:${string}`;
export class InboxFullError extends Error {
  override name = "InboxFullError";
}

export interface RunnerLease {
  runnerId: string;
  userId: string;
  producerEpoch: number;
}

export interface RunnerStore {
  /** Binds the runner to its first user; another user's runnerId answers null. Takes the next epoch. */
  register(userId: string, isolateId: string, register: RegisterRunner): Promise<RunnerLease | null>;
  update(
    lease: RunnerLease,
    patch: Partial<Pick<RegisterRunner, "agents" | "roots" | "warnings" | "terminals">>,
  ): Promise<void>;
  /** The socket is gone; ignored unless the lease is the current one. */
  release(lease: RunnerLease): Promise<void>;
  isolateOf(runnerId: string): Promise<string | null>;
  info(userId: string, runnerId: string): Promise<RunnerInfo | null>;
  list(userId: string): Promise<RunnerInfo[]>;
  /** Sessions of this runner that have not ended. */
  liveSessionIds(userId: string, runnerId: string): Promise<string[]>;
  delete(userId: string, runnerId: string): Promise<boolean>;
}

/** All of it, as lib/session/store.ts builds it over one Deno KV. */
export interface SessionStore {
  readonly log: SessionLogStore;
  readonly sessions: SessionListStore;
  readonly inbox: InboxStore;
  readonly runners: RunnerStore;
  /** What waits for KV now, and commits made so far with the groups of mutations in them. */
  stats(): { queuedBytes: number; queuedGroups: number; commits: number; groups: number };
  [Symbol.asyncDispose](): Promise<void>;
}
