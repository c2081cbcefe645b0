/** `/ws/relay`: one session host to the hub. The host is the only writer of its session's log (design §4). */
import * as z from "zod/mini";
import { limits } from "./limits.ts";
import { CommandResult, DeliveredCommand } from "./command.ts";
import { Delta, WireEntry } from "./entry.ts";
import { HistoryPage, LoadHistory } from "./history.ts";
import { MetaPatch } from "./meta.ts";
import { ErrorMessage, GoingAway, Id, Ping, Pong, SessionAgent, SessionEnd, TimeMs } from "./shared.ts";

const Seq = z.int().check(z.positive());

/** First message of a host. Answered by `registered`. */
export const Register = z.object({
  type: z.literal("register"),
  protocolVersion: z.int(),
  sessionId: Id,
  runnerId: Id,
  /** Identity of the host's journal. A different one than the hub knows starts the log anew in a new epoch. */
  logId: Id,
  /** Last seq in the journal (0: empty). */
  lastSeq: z.int().check(z.nonnegative()),
  cwd: z.string().check(z.minLength(1), z.maxLength(limits.pathChars)),
  sessionName: z.nullable(z.string().check(z.maxLength(limits.titleChars))),
  agent: SessionAgent,
  startedAt: TimeMs,
  parentSessionId: z.optional(z.nullable(Id)),
  /** Set by whoever only brings the rest of an ended session's journal: the session does not live again by this registration. */
  ended: z.optional(SessionEnd),
});
export type Register = z.infer<typeof Register>;

/**
 * A durable record: upserts an entry or patches the meta; exactly one of the two is set. The same message, unchanged,
 * is what viewers receive, so a frame of events and deltas is forwarded as it came.
 */
export const Event = z.object({
  type: z.literal("event"),
  sessionId: Id,
  epoch: z.int().check(z.nonnegative()),
  seq: Seq,
  entry: z.optional(WireEntry),
  meta: z.optional(MetaPatch),
}).check(z.refine((event) => (event.entry === undefined) !== (event.meta === undefined), {
  message: "exactly one of entry and meta must be set",
  path: ["entry"],
}));
export type Event = z.infer<typeof Event>;

/** The host is done with this session; sent after its last record. */
export const SessionEnded = z.object({ type: z.literal("session_end"), sessionId: Id, end: SessionEnd });

/** Messages from a session host. */
export const relayClient = {
  register: Register,
  event: Event,
  delta: Delta,
  command_result: CommandResult,
  session_end: SessionEnded,
  history_page: HistoryPage,
  ping: Ping,
  pong: Pong,
} as const;

export const Registered = z.object({
  type: z.literal("registered"),
  sessionId: Id,
  /** The log's epoch, to be put into every event and delta of this connection. */
  epoch: z.int().check(z.nonnegative()),
  /** Everything up to here is committed: send from the next one on. More than the host's lastSeq: the journal is behind and must start a new log. */
  ackedSeq: z.int().check(z.nonnegative()),
  serverTime: TimeMs,
});
export type Registered = z.infer<typeof Registered>;

/** Cumulative: everything up to `seq` is committed in KV. */
export const EventAck = z.object({ type: z.literal("event_ack"), sessionId: Id, seq: z.int().check(z.nonnegative()) });
export type EventAck = z.infer<typeof EventAck>;

/** The session was deleted on the hub: stop, do not reconnect. */
export const SessionExpired = z.object({ type: z.literal("session_expired"), sessionId: Id });

/** Messages to a session host. */
export const relayServer = {
  registered: Registered,
  event_ack: EventAck,
  command: DeliveredCommand,
  session_expired: SessionExpired,
  load_history: LoadHistory,
  going_away: GoingAway,
  error: ErrorMessage,
  ping: Ping,
  pong: Pong,
} as const;
