/**
 * Every key of the hub, and what lies under it. Rules: what belongs to one session is under `["session", id]` or under
 * `["list", userId, id]`, so that deleting a session is deleting two prefixes; what a list shows of a session is in the
 * second, so that one range read lists a user's sessions without touching logs.
 */
type Key = Deno.KvKey;

/** Numbers in keys sort as numbers only while they are of one type: indexes and seqs are doubles. */
export const keys = {
  session: {
    all: (sessionId: string): Key => ["session", sessionId],
    /** OwnerRow: whose it is, and the fence of its producers. Its version changes only when a producer registers or it is deleted. */
    owner: (sessionId: string): Key => ["session", sessionId, "owner"],
    /** MetaRow bytes or BlobRef: the meta document, its seq and epoch. */
    meta: (sessionId: string): Key => ["session", sessionId, "meta"],
    /** Everything of the log that began in `epoch`. Ranges over epochs delete what a new log replaced. */
    log: (sessionId: string, epoch: number): Key => ["session", sessionId, "log", epoch],
    entries: (sessionId: string, epoch: number): Key => ["session", sessionId, "log", epoch, "entry"],
    /** JSON bytes of the Entry, or an EntryBlobRef: the latest version of the entry at `index`. */
    entry: (sessionId: string, epoch: number, index: number): Key => [
      "session",
      sessionId,
      "log",
      epoch,
      "entry",
      index,
    ],
    /** number: index of the entry whose last change is `seq`. */
    seq: (sessionId: string, epoch: number, seq: number): Key => ["session", sessionId, "log", epoch, "seq", seq],
    /** Uint8Array: one part of a value that was too large for its own row. */
    blob: (sessionId: string, epoch: number, blobId: string, part?: number): Key =>
      part === undefined
        ? ["session", sessionId, "log", epoch, "blob", blobId]
        : ["session", sessionId, "log", epoch, "blob", blobId, part],
  },
  list: {
    user: (userId: string): Key => ["list", userId],
    session: (userId: string, sessionId: string): Key => ["list", userId, sessionId],
    /** StaticRow: what a session is from its start (cwd, agent, runner, …). */
    static: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "static"],
    /** HeadRow: how far the log is. Written with every commit. */
    head: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "head"],
    /** SummaryRow: the part of the meta that lists show. Written with the commits that change it. */
    summary: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "summary"],
    /** ProducerRow: which isolate holds the host's socket. */
    producer: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "producer"],
    /** EndRow: how it ended when someone else than its host says so. */
    end: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "end"],
    /** SweptRow: what the retention sweep has looked at already. */
    swept: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "swept"],
    /** number: seq up to which the owner has seen it; valid for the epoch in it (SeenRow). */
    seen: (userId: string, sessionId: string): Key => ["list", userId, sessionId, "seen"],
    /** number: viewers that this isolate serves. Counts only while the isolate lives. */
    viewers: (userId: string, sessionId: string, isolateId: string): Key => [
      "list",
      userId,
      sessionId,
      "viewers",
      isolateId,
    ],
  },
  /** DeletedRow: a session of this hash was deleted, so a host or runner that was offline then does not bring it back. */
  deletedSessions: (): Key => ["deleted_session"],
  deletedSession: (sessionIdHash: string): Key => ["deleted_session", sessionIdHash],
  /** Uint8Array: what isolates sign their tickets for one another with. */
  peerSecret: (): Key => ["peer_secret"],
  runner: {
    all: (runnerId: string): Key => ["runner", runnerId],
    /** OwnerRow, as for sessions. */
    owner: (runnerId: string): Key => ["runner", runnerId, "owner"],
    /** LinkRow: which isolate holds its data link. */
    link: (runnerId: string): Key => ["runner", runnerId, "link"],
    /** Uint8Array: one part of a runner's row that was too large. */
    blob: (runnerId: string, blobId: string, part?: number): Key =>
      part === undefined ? ["runner", runnerId, "blob", blobId] : ["runner", runnerId, "blob", blobId, part],
  },
  runners: {
    user: (userId: string): Key => ["runners", userId],
    runner: (userId: string, runnerId: string): Key => ["runners", userId, runnerId],
    /** RunnerRow bytes or BlobRef: what the runner said of itself. */
    row: (userId: string, runnerId: string): Key => ["runners", userId, runnerId, "row"],
    /** ProducerRow of the runner's daemon. */
    producer: (userId: string, runnerId: string): Key => ["runners", userId, runnerId, "producer"],
  },
  /** An inbox lies under its session or runner, so that it goes with it. `kind` is "session" or "runner". */
  inbox: {
    /** InboxHead: next number and how many wait. */
    head: (kind: string, id: string): Key => [kind, id, "inbox", "head"],
    all: (kind: string, id: string): Key => [kind, id, "inbox"],
    waitingAll: (kind: string, id: string): Key => [kind, id, "inbox", "waiting"],
    /** WaitingRow bytes or BlobRef: a command in order of arrival. */
    waiting: (kind: string, id: string, no: number): Key => [kind, id, "inbox", "waiting", no],
    /** OpRow: what became of an op; expires some time after it was settled. */
    op: (kind: string, id: string, op: string): Key => [kind, id, "inbox", "op", op],
    ops: (kind: string, id: string): Key => [kind, id, "inbox", "op"],
    /** Uint8Array: one part of a large command. */
    blob: (kind: string, id: string, blobId: string, part?: number): Key =>
      part === undefined ? [kind, id, "inbox", "blob", blobId] : [kind, id, "inbox", "blob", blobId, part],
  },
  sweep: {
    /** LeaseRow of the isolate that sweeps now. */
    lease: (): Key => ["sweep", "lease"],
    /** SweepRow: how far the sweep is, and when it goes on. */
    progress: (): Key => ["sweep", "progress"],
  },
  isolate: {
    all: (): Key => ["isolate"],
    /** IsolateRow: lease of a live isolate. */
    lease: (isolateId: string): Key => ["isolate", isolateId],
  },
  mailbox: {
    all: (isolateId: string): Key => ["mailbox", isolateId],
    /** KvU64 that every delivery increments: the one key that the isolate watches. */
    bell: (isolateId: string): Key => ["mailbox", isolateId, "bell"],
    incoming: (isolateId: string): Key => ["mailbox", isolateId, "in"],
    /** Uint8Array: flag byte (1: last part of its batch) and UTF-8 JSON, in order per sender. */
    part: (isolateId: string, from: string, no: number): Key => ["mailbox", isolateId, "in", from, no],
  },
} as const;
