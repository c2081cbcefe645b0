/** `/ws/viewer`: a browser tab (or another client) attached to one session at a time. */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { CommandStatus, Op, SessionCommand } from "./command.ts";
import { Delta, Entry } from "./entry.ts";
import { SessionMeta } from "./meta.ts";
import { Event } from "./relay.ts";
import { Cursor, ErrorMessage, GoingAway, Id, Ping, Pong, SessionInfo } from "./shared.ts";

/** Counts up with every switch_session of a socket, so that answers of an older one can be told apart. */
const Generation = z.int().check(z.nonnegative());

/** Attaches to a session (and leaves the one before). With a cursor it asks for what changed since. */
export const SwitchSession = z.object({
  type: z.literal("switch_session"),
  sessionId: Id,
  generation: Generation,
  cursor: z.optional(Cursor),
});
export type SwitchSession = z.infer<typeof SwitchSession>;

/** Asks for the page of entries before `before` (an entry index). */
export const LoadMessages = z.object({
  type: z.literal("load_messages"),
  sessionId: Id,
  generation: Generation,
  before: z.int().check(z.nonnegative()),
  limit: z.int().check(z.gte(1), z.lte(limits.pageEntries)),
});

export const ViewerCommand = z.object({ type: z.literal("command"), op: Op, sessionId: Id, command: SessionCommand });

/** Tells whether the tab is visible, and up to which seq its person has seen the session. */
export const ViewerVisibility = z.object({
  type: z.literal("viewer_visibility"),
  visible: z.boolean(),
  seenSeq: z.optional(z.int().check(z.nonnegative())),
});

/** Messages from a viewer. */
export const viewerClient = {
  switch_session: SwitchSession,
  load_messages: LoadMessages,
  command: ViewerCommand,
  viewer_visibility: ViewerVisibility,
  ping: Ping,
  pong: Pong,
} as const;

/**
 * The verdict on an attach. It never moves the viewer's cursor: only content does.
 * `resume`: changes since the cursor follow in `changes`. `snapshot`: the last page follows; forget what you had.
 * `ahead`: you have more than is committed yet; keep it, the rest will come.
 */
export const Connected = z.object({
  type: z.literal("connected"),
  sessionId: Id,
  generation: Generation,
  verdict: z.enum(["resume", "snapshot", "ahead"]),
  cursor: Cursor,
  info: SessionInfo,
  /** Commands that wait for the runner. */
  inbox: z.array(CommandStatus).check(z.maxLength(limits.inboxCommands)),
});
export type Connected = z.infer<typeof Connected>;

/** The newest page. Afterwards the viewer's cursor is `cursor`. Entries ascend by index. */
export const Snapshot = z.object({
  type: z.literal("snapshot"),
  sessionId: Id,
  generation: Generation,
  cursor: Cursor,
  meta: SessionMeta,
  entries: z.array(Entry),
  /**
   * Lowest index that the hub still holds; entries before the first one given can be loaded down to it. Those below it (down to
   * 0, where every log begins) were trimmed: load_messages has them read from the runner while it is connected.
   */
  oldestIndex: z.int().check(z.nonnegative()),
});
export type Snapshot = z.infer<typeof Snapshot>;

/** What changed since the viewer's cursor, each changed entry once, ascending by seq; afterwards the cursor is `cursor`. */
export const Changes = z.object({
  type: z.literal("changes"),
  sessionId: Id,
  generation: Generation,
  cursor: Cursor,
  meta: z.nullable(SessionMeta),
  entries: z.array(Entry),
  /** Another `changes` follows; live events begin after the last. */
  more: z.boolean(),
});
export type Changes = z.infer<typeof Changes>;

/**
 * Answers load_messages. Entries ascend by index. A newer version that the viewer already has wins (by seq). The text that
 * deltas appended to open entries of this page follows as deltas. Entries that the hub no longer holds come from the runner; while it
 * is offline the answer is an `unavailable` error whose `ref` is the generation.
 */
export const MessagesPage = z.object({
  type: z.literal("session_messages_page"),
  sessionId: Id,
  generation: Generation,
  entries: z.array(Entry),
  /** The request's. */
  before: z.optional(z.int().check(z.nonnegative())),
  /** Whether there are entries before these, on the hub or on the runner. */
  hasMore: z.boolean(),
  /** Lowest index that the hub still holds. */
  oldestIndex: z.int().check(z.nonnegative()),
});
export type MessagesPage = z.infer<typeof MessagesPage>;

/** The host of the session connected or went, its runner too, or the list's view of it changed. */
export const SessionStatusMessage = z.object({ type: z.literal("session_status"), session: SessionInfo });

/**
 * The attachment ended: the session was deleted, access to it ended, or the viewer read too slowly. On `lagging` (sent when
 * its socket has drained) the viewer attaches again with its cursor and gets fresh state instead of the backlog.
 */
export const Disconnected = z.object({
  type: z.literal("disconnected"),
  sessionId: Id,
  code: z.enum(["session_deleted", "unauthorized", "lagging"]),
  reason: z.string().check(z.maxLength(2_000)),
});

/** Messages to a viewer. `event` and `delta` are the host's own messages. */
export const viewerServer = {
  connected: Connected,
  snapshot: Snapshot,
  changes: Changes,
  event: Event,
  delta: Delta,
  session_messages_page: MessagesPage,
  session_status: SessionStatusMessage,
  command_status: CommandStatus,
  disconnected: Disconnected,
  going_away: GoingAway,
  error: ErrorMessage,
  ping: Ping,
  pong: Pong,
} as const;
