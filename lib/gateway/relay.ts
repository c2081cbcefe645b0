/** `/ws/relay`: one session host. It registers its session, then sends records and deltas and gets acks and commands. */
import {
  closeCodes,
  type CommandResult,
  type Delta,
  type Event,
  limits,
  type MessageOf,
  type ParsedFrame,
  type Register,
  relayClient,
  type SessionEnd,
} from "@/protocol/mod.ts";
import { errorText } from "@/lib/log.ts";
import { Budget } from "@/lib/rate_limit.ts";
import type { RegisterResult } from "@/lib/session/types.ts";
import { settleCommand } from "./commands.ts";
import { Connection, type FrameText } from "./connection.ts";
import { callIsolate, type GatewayContext, GatewayError, type SocketAcceptor, track } from "./context.ts";
import { LiveSession } from "./live_session.ts";
import type { SessionTopicMessage } from "./topics.ts";
import { versionRefusal } from "./upgrade.ts";

type RelayMessage = MessageOf<typeof relayClient>;

/** Receipts of one host that may be on their way to KV. */
const MAX_RECEIPTS = 2 * limits.inboxCommands;

/** Serves one session host on an open socket. */
export const acceptRelay: SocketAcceptor = (ctx, socket, principal) => {
  const host = new RelayHost(ctx);
  const connection = Connection.open({
    namespace: "relay",
    socket,
    principal,
    schemas: relayClient,
    counters: ctx.counters,
    ticker: ctx.ticker,
    log: ctx.log,
    onFrame: (frame, text) => host.receive(frame, text),
    onGoingAway: () => host.quiesce(),
    onClose: () => host.closed(),
  });
  host.connection = connection;
  return connection;
};

class RelayHost {
  connection!: Connection;
  readonly #ctx: GatewayContext;
  #live: LiveSession | null = null;
  #isRegistering = false;
  #receipts = 0;
  readonly #messages: Budget;
  readonly #bytes: Budget;
  /** The host sent too much: its records are not taken until it registers again, at `untilMs` or later. */
  #pause: { untilMs: number; ignoredBytes: number } | null = null;

  constructor(ctx: GatewayContext) {
    this.#ctx = ctx;
    const { bounds } = ctx;
    this.#messages = new Budget(bounds.relayBurstMessages, bounds.relayMessagesPerS, performance.now());
    this.#bytes = new Budget(bounds.relayBurstBytes, bounds.relayBytesPerS, performance.now());
  }

  receive(frame: ParsedFrame<RelayMessage>, text: string): void {
    const records: (Event | Delta)[] = [];
    // Answers were asked for.
    const isAnswer = frame.messages.length > 0 && frame.messages.every(({ type }) => type === "history_page");
    const isIgnored = !isAnswer && this.#isOverBudget(frame.messages.length, text.length);
    let dropped = 0;
    for (const message of frame.messages) {
      switch (message.type) {
        case "event":
        case "delta":
          if (isIgnored) dropped++;
          else if (this.#isOwn(message.sessionId, message.type)) records.push(message);
          break;
        case "register":
          // What stands before it in the frame belongs to the registration before.
          this.#forward(records.splice(0), text.length, null);
          this.#register(message);
          break;
        case "command_result":
          this.#settle(message);
          break;
        case "history_page":
          this.#live?.answer(message);
          break;
        case "session_end":
          this.#forward(records.splice(0), text.length, null);
          if (isIgnored) dropped++;
          else if (this.#isOwn(message.sessionId, message.type)) this.#ended(message.end);
          break;
      }
    }
    if (dropped > 0) this.#ctx.counters.add("messages_dropped", "rate_limited", dropped);
    const isWhole = records.length === frame.messages.length && frame.errors.length === 0 && frame.unknownTypes === 0;
    this.#forward(records, text.length, isWhole ? wholeFrame(text, records.length) : null);
  }

  /**
   * Whether the records of this frame are not taken. The first time the host is told how long to wait. What it sent before it
   * heard that is ignored; it registers again afterwards, so that both sides know where to go on.
   */
  #isOverBudget(messages: number, chars: number): boolean {
    const { bounds } = this.#ctx;
    if (this.#pause !== null) {
      this.#pause.ignoredBytes += chars;
      if (this.#pause.ignoredBytes > bounds.relayIgnoredBytes) {
        this.connection.close(closeCodes.protocolError, "went on sending after rate_limited");
      }
      return true;
    }
    if (this.#live === null) return false;
    const nowMs = performance.now();
    const waitMs = Math.max(this.#messages.take(messages, nowMs), this.#bytes.take(chars, nowMs));
    if (waitMs === 0) return false;
    this.#pause = { untilMs: nowMs + waitMs, ignoredBytes: 0 };
    this.connection.sendError({
      code: "rate_limited",
      message: `more than ${bounds.relayMessagesPerS} messages or ${bounds.relayBytesPerS} bytes a second; wait ` +
        `${waitMs} ms, then register again and send from the acknowledged seq on`,
      sessionId: this.#live.sessionId,
      retryAfterMs: waitMs,
    });
    return true;
  }

  /** Takes nothing more; resolves when what was received is committed and acknowledged. */
  async quiesce(): Promise<void> {
    await this.#live?.quiesce();
  }

  #forward(records: readonly (Event | Delta)[], chars: number, whole: FrameText | null): void {
    if (records.length > 0) this.#live?.receive(records, chars, whole);
  }

  closed(): void {
    if (this.#live !== null) track(this.#ctx, this.#live.detach());
    this.#live = null;
  }

  #isOwn(sessionId: string, type: string): boolean {
    if (this.#live !== null && sessionId === this.#live.sessionId) return true;
    this.connection.sendError({
      code: "invalid_message",
      message: this.#live === null
        ? `${type}: register the session and wait for registered before sending its records`
        : `${type}: sessionId: this socket is registered for session ${this.#live.sessionId}`,
      field: "sessionId",
      sessionId,
    });
    return false;
  }

  async #register(register: Register): Promise<void> {
    const { connection } = this;
    const { sessionId } = register;
    const version = versionRefusal(register.protocolVersion);
    if (version !== null) {
      connection.sendError({ code: "protocol_version", message: version.message, field: "protocolVersion" });
      connection.close(version.closeCode, "protocol version");
      return;
    }
    if (this.#isRegistering) {
      connection.sendError({ code: "conflict", message: "register: an earlier register is not answered yet" });
      return;
    }
    const earlyMs = this.#pause === null ? 0 : Math.ceil(this.#pause.untilMs - performance.now());
    if (earlyMs > 0) {
      connection.sendError({
        code: "rate_limited",
        message: `register: ${earlyMs} ms of the wait are left`,
        sessionId,
        retryAfterMs: earlyMs,
      });
      return;
    }
    this.#isRegistering = true;
    try {
      await this.#takeOver(register);
    } catch (error) {
      if (error instanceof GatewayError) {
        const { code, message, retryAfterMs } = error;
        connection.sendError({ code, message, sessionId, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
        return;
      }
      this.#ctx.log.warn("register_failed", { sessionId, error: errorText(error) });
      connection.sendError({ code: "unavailable", message: "the hub cannot register sessions now", sessionId });
      connection.close(closeCodes.protocolError, "registration failed");
    } finally {
      this.#isRegistering = false;
    }
  }

  async #takeOver(register: Register): Promise<void> {
    const { store, mesh, liveSessions, log } = this.#ctx;
    const { connection } = this;
    const { sessionId } = register;
    const { userId } = connection.principal;
    await this.#ctx.quotas.checkRoom("session", userId, sessionId);
    const holder = await store.log.producerIsolate(sessionId);
    const result: RegisterResult = await store.log.register(userId, mesh.isolateId, register);
    if (!result.ok) {
      // Deleted, or another user's: this host can never serve it.
      connection.sendError({ code: result.code, message: result.message, field: "sessionId", sessionId });
      connection.send({ type: "session_expired", sessionId });
      connection.close(closeCodes.deleted, "no such session");
      return;
    }
    const { lease } = result;
    const older = liveSessions.get(sessionId);
    if (older !== undefined && older.lease.producerEpoch > lease.producerEpoch) {
      connection.close(closeCodes.replaced, "replaced by a newer registration");
      return;
    }
    older?.supersede(connection);
    if (this.#live !== older) this.#live?.detach();
    this.#live = null;
    if (connection.isClosed) {
      await store.log.release(lease);
      return;
    }
    const live = new LiveSession(this.#ctx, lease, connection);
    this.#live = live;
    this.#pause = null;
    liveSessions.set(sessionId, live);
    connection.send({
      type: "registered",
      sessionId,
      epoch: lease.epoch,
      ackedSeq: lease.ackedSeq,
      serverTime: Date.now(),
    });
    mesh.publish(`session:${sessionId}`, { type: "registered", epoch: lease.epoch } satisfies SessionTopicMessage);
    this.#ctx.hints.sessionStatus(userId, sessionId);
    log.info("host_registered", {
      sessionId,
      runnerId: register.runnerId,
      socketId: connection.id,
      ackedSeq: lease.ackedSeq,
      lastSeq: register.lastSeq,
    });
    if (holder !== null && holder !== mesh.isolateId && mesh.isLive(holder)) {
      callIsolate(mesh, holder, "session_replaced", { sessionId, producerEpoch: lease.producerEpoch })
        .catch((error) => log.debug("replace_call_failed", { sessionId, error: errorText(error) }));
    }
    for (const command of await store.inbox.pending(`session:${sessionId}`)) live.deliver(command);
  }

  #settle(result: CommandResult): void {
    const live = this.#live;
    if (this.#receipts >= MAX_RECEIPTS) {
      this.connection.sendError({
        code: "rate_limited",
        message: `${MAX_RECEIPTS} receipts are being stored; send this one when the command is delivered again`,
        ref: result.op,
      });
      return;
    }
    if (live === null) {
      this.connection.sendError({
        code: "invalid_message",
        message: "command_result: register the session before sending receipts",
        ref: result.op,
      });
      return;
    }
    this.#receipts++;
    settleCommand(this.#ctx, `session:${live.sessionId}`, live.lease.userId, result).catch((error) => {
      // The command stays in the inbox: it is delivered again at the next registration, and answered again.
      this.#ctx.log.warn("settle_failed", { sessionId: live.sessionId, error: errorText(error) });
      this.connection.sendError({ code: "unavailable", message: "the receipt could not be stored", ref: result.op });
    }).finally(() => this.#receipts--);
  }

  async #ended(end: SessionEnd): Promise<void> {
    const live = this.#live;
    if (live === null) return;
    this.#live = null;
    const { sessionId, lease } = live;
    try {
      await live.detach();
      await this.#ctx.store.log.end(lease.userId, sessionId, end, lease.producerEpoch);
      this.#ctx.hints.sessionStatus(lease.userId, sessionId);
    } catch (error) {
      this.#ctx.log.warn("end_failed", { sessionId, error: errorText(error) });
      this.connection.sendError({ code: "unavailable", message: "the end could not be stored", sessionId });
    }
  }
}

/** The frame as viewers can get it; null when it is not exactly one JSON object or array, without space around. */
function wholeFrame(text: string, count: number): FrameText | null {
  const first = text.charCodeAt(0);
  const last = text.charCodeAt(text.length - 1);
  return (first === 0x7b && last === 0x7d) || (first === 0x5b && last === 0x5d) ? { text, count } : null;
}
