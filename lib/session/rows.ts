/** The session store's rows (keys.ts says where they are) and how they become what people see. */
import type {
  Activity,
  ModelInfo,
  Register,
  RegisterRunner,
  SessionAgent,
  SessionEnd,
  SessionInfo,
  SessionMeta,
} from "@/protocol/mod.ts";
import type { BlobRef, Packed } from "@/lib/kv/packed.ts";

/** Whose a session or runner is. Its versionstamp is the fence that commits check. */
export interface OwnerRow {
  userId: string;
  /** Counts the registrations of producers. */
  producerEpoch: number;
  /** Its rows are being removed; it is gone for everyone. */
  isDeleting?: true;
}

export interface StaticRow {
  cwd: string;
  sessionName: string | null;
  agent: SessionAgent;
  runnerId: string | null;
  startedAt: number;
  parentSessionId: string | null;
}

export interface HeadRow {
  /** Identity of the producer's journal; null before the first registration. */
  logId: string | null;
  /** The producerEpoch that began this log; 0 before the first registration. */
  epoch: number;
  ackedSeq: number;
  /** One more than the highest entry index. */
  nextIndex: number;
  /** Lowest index that is still stored. */
  oldestIndex: number;
  /** JSON bytes of the stored entries. */
  bytes: number;
  /** Newest change of an entry that is not stored any more; 0 when nothing was trimmed. */
  trimmedSeq: number;
  /** Seq of the last change of an entry (not of the meta): what "unread" compares with. */
  entrySeq: number;
}

/** Who holds the producer's socket. Live only while that isolate is. */
export interface ProducerRow {
  producerEpoch: number;
  /** null: the socket was closed. */
  isolateId: string | null;
  /** When this last changed, in ms. */
  at: number;
}

export interface SummaryRow {
  title: string | null;
  activity: Activity;
  attention: number;
  model: ModelInfo | null;
  preview: string | null;
  lastActivityAt: number;
  canResume: boolean;
  ended: SessionEnd | null;
}

/** An end that the runner's daemon or the relay reported. Holds for this producerEpoch only. */
export interface EndRow {
  producerEpoch: number;
  /** True when the producer said so itself: then it holds while its socket is still open. */
  isOwnWord: boolean;
  end: SessionEnd;
}

/** What the retention sweep found at its last visit, so that it does not look again at what cannot have changed. */
export interface SweptRow {
  /** Of the producer whose leftovers were looked for; a crash is followed by another, or by a session that stays quiet. */
  producerEpoch: number;
  wasQuiet: boolean;
  /** Commands that were ever put into the inbox when it held nothing any more. */
  inboxNo: number;
}

/** A session was deleted by its owner. */
export interface DeletedRow {
  /** When, in ms. */
  at: number;
}

export interface SeenRow {
  epoch: number;
  seq: number;
}

/** What lies under keys.session.meta. */
export interface MetaRow {
  epoch: number;
  seq: number;
  meta: SessionMeta;
}

/** Stands for an entry in parts: what a commit and a page must know without reading them. */
export interface EntryBlobRef extends BlobRef {
  id: string;
  seq: number;
}
export type PackedEntry = Packed<EntryBlobRef>;

/** What lies under keys.runners.row. */
export interface RunnerRow extends
  Pick<
    RegisterRunner,
    "name" | "roots" | "agents" | "version" | "platform" | "warnings" | "terminals" | "tunnelHosts"
  > {
  registeredAt: number;
}

export function emptyHead(logId: string | null, epoch: number): HeadRow {
  return { logId, epoch, ackedSeq: 0, nextIndex: 0, oldestIndex: 0, bytes: 0, trimmedSeq: 0, entrySeq: 0 };
}

export function staticOf(register: Register): StaticRow {
  return {
    cwd: register.cwd,
    sessionName: register.sessionName,
    agent: register.agent,
    runnerId: register.runnerId,
    startedAt: register.startedAt,
    parentSessionId: register.parentSessionId ?? null,
  };
}

export function summaryOf(meta: SessionMeta): SummaryRow {
  return {
    title: meta.title,
    activity: meta.activity,
    attention: meta.attention,
    model: meta.model,
    preview: meta.preview,
    lastActivityAt: meta.lastActivityAt,
    canResume: meta.can.resume,
    ended: meta.ended,
  };
}

/** The rows of one session under its list prefix. */
export interface ListedRows {
  static?: StaticRow;
  head?: HeadRow;
  summary?: SummaryRow;
  producer?: ProducerRow;
  end?: EndRow;
  seen?: SeenRow;
  swept?: SweptRow;
  /** Viewers per isolate. */
  viewers: Map<string, number>;
}

/** How the session ended as far as anyone said, or null: its host's word in the meta, or a report of its current epoch. */
export function endOf(rows: ListedRows, isActive: boolean): SessionEnd | null {
  if (rows.summary?.ended) return rows.summary.ended;
  const { end } = rows;
  if (!end || end.producerEpoch !== (rows.producer?.producerEpoch ?? 0)) return null;
  // A daemon may report a dead host before the hub has noticed that its socket is gone: it holds from then on.
  return end.isOwnWord || !isActive ? end.end : null;
}

/** Assembles what lists show. Null when the session has no static row (it is being deleted). */
export function sessionInfoOf(
  sessionId: string,
  rows: ListedRows,
  isLive: (isolateId: string) => boolean,
  runnerName: string | null,
): SessionInfo | null {
  if (!rows.static) return null;
  const isActive = rows.producer?.isolateId != null && isLive(rows.producer.isolateId);
  const ended = endOf(rows, isActive);
  let viewerCount = 0;
  for (const [isolateId, count] of rows.viewers) if (isLive(isolateId)) viewerCount += count;
  const seenSeq = rows.seen && rows.seen.epoch === rows.head?.epoch ? rows.seen.seq : 0;
  const { summary } = rows;
  const lastKnown = summary?.activity ?? "starting";
  return {
    sessionId,
    shareUrl: `/session/${sessionId}`,
    cwd: rows.static.cwd,
    sessionName: summary?.title ?? rows.static.sessionName,
    agent: rows.static.agent,
    model: summary?.model ?? null,
    runnerId: rows.static.runnerId,
    runnerName,
    startedAt: rows.static.startedAt,
    lastActivityAt: Math.max(summary?.lastActivityAt ?? 0, rows.static.startedAt),
    isActive,
    // "ended" is said only with an end; a host that resumed and has not spoken yet is starting.
    activity: ended ? "ended" : lastKnown === "ended" ? "starting" : lastKnown,
    attention: ended ? 0 : summary?.attention ?? 0,
    unread: (rows.head?.entrySeq ?? 0) > seenSeq,
    viewerCount,
    ...(summary?.preview ? { preview: summary.preview } : {}),
    ended,
    isResumable: (ended !== null || !isActive) && (summary?.canResume ?? false),
    parentSessionId: rows.static.parentSessionId,
  };
}
