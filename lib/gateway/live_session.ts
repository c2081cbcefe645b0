/** A session whose host is connected to this isolate: what it sent goes to viewers at once and to KV in the background. */
import { closeCodes, type DeliveredCommand, type Delta, type Event, type HistoryPage, limits } from "@/protocol/mod.ts";
import { ReceiverLog } from "@/protocol/log/mod.ts";
import { errorText } from "@/lib/log.ts";
import { EntryTooLargeError, IndexConflictError, LogGapError } from "@/lib/session/errors.ts";
import type { Slot } from "@/lib/counters.ts";
import { type ProducerLease, StaleEpochError } from "@/lib/session/types.ts";
import type { Connection, FrameText } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import { Questions, type Reply, unavailable } from "./questions.ts";
import type { LiveState, SessionFrame } from "./topics.ts";

/** Held until committed. A host keeps within limits.unackedRecords and unackedBytes; one frame more may be underway. */
const MAX_HELD_RECORDS = limits.unackedRecords + limits.messagesPerFrame;
const MAX_HELD_CHARS = limits.unackedBytes + limits.frameBytes;
/** Most records handed to one commit. */
const COMMIT_RECORDS = 1_024;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** A host is told (and may reconnect for it) once the pause between two attempts has grown to this. */
const REPORT_AFTER_MS = 400;
/** Meta fields that a session's row in lists shows. */
const rowFields = ["title", "activity", "attention", "preview", "model", "ended", "can"] as const;

/** Why a message was not taken. */
interface Refusal {
  code: "gap" | "stale_epoch" | "too_large" | "unavailable";
  message: string;
}

/** What to tell a host whose record can never be stored; null when trying again may help. */
function refusalOf(error: unknown): { code: "conflict" | "too_large" | "gap"; message: string } | null {
  if (error instanceof IndexConflictError) return { code: "conflict", message: error.message };
  if (error instanceof EntryTooLargeError) return { code: "too_large", message: error.message };
  if (error instanceof LogGapError) return { code: "gap", message: error.message };
  return null;
}

export class LiveSession {
  readonly lease: ProducerLease;
  readonly connection: Connection;
  readonly #ctx: GatewayContext;
  readonly #log: ReceiverLog;
  /** Characters of the frames whose records are not committed yet, each with the last seq in it. */
  #held: { seq: number; chars: number }[] = [];
  #heldChars = 0;
  /** `attached`: the host's socket is open. `draining`: it is gone, what it sent is being committed. */
  #state: "attached" | "draining" | "over" = "attached";
  #commits: Promise<void> | null = null;
  #retry: { timer: ReturnType<typeof setTimeout>; wake: () => void } | null = null;
  #isOutage = false;
  readonly #questions = new Questions("the session's host");
  /** The hub stops: what comes now is not taken, the host sends it again elsewhere. */
  #isQuiet = false;
  readonly #received: Slot;
  readonly #deltas: Slot;

  constructor(ctx: GatewayContext, lease: ProducerLease, connection: Connection) {
    this.#ctx = ctx;
    this.lease = lease;
    this.connection = connection;
    this.#log = new ReceiverLog({ sessionId: lease.sessionId, epoch: lease.epoch, ackedSeq: lease.ackedSeq });
    ctx.counters.move("live_sessions", "", 1);
    this.#received = ctx.counters.slot("records_received", "");
    this.#deltas = ctx.counters.slot("deltas_received", "");
  }

  get sessionId(): string {
    return this.lease.sessionId;
  }

  /** What a late viewer needs beyond KV. */
  liveState(): LiveState {
    return {
      epoch: this.#log.epoch,
      ackedSeq: this.#log.ackedSeq,
      uncommitted: [...this.#log.uncommitted],
      open: this.#log.openDeltas(),
    };
  }

  deliver(command: DeliveredCommand): boolean {
    if (this.#state !== "attached") return false;
    this.connection.send(command);
    return true;
  }

  /** Asks the host for a page of its journal. Never rejects. */
  loadHistory(before: number, limit: number): Promise<Reply> {
    if (this.#state !== "attached") return Promise.resolve(unavailable("not connected"));
    const { sessionId } = this;
    return this.#questions.ask("history_page", (requestId) => {
      this.connection.send({ type: "load_history", requestId, sessionId, before, limit });
    });
  }

  /** Takes the answer to a question. */
  answer(message: HistoryPage): void {
    this.#questions.answer(message);
  }

  /**
   * Takes the events and deltas of one frame: forwards what is new, then commits it. `whole` is the frame as it came,
   * given when it holds nothing but these messages, so that it can go to viewers unchanged.
   */
  receive(messages: readonly (Event | Delta)[], frameChars: number, whole: FrameText | null): void {
    if (this.#isQuiet || this.#state === "over") {
      this.#ctx.counters.add("messages_dropped", this.#isQuiet ? "going_away" : "replaced", messages.length);
      return;
    }
    const accepted: (Event | Delta)[] = [];
    let from = 0;
    let to = 0;
    let duplicates = 0;
    let refused: Refusal | null = null;
    for (const message of messages) {
      const refusal = message.type === "event" ? this.#takeEvent(message) : this.#takeDelta(message);
      if (refusal === "duplicate") duplicates += message.type === "event" ? 1 : 0;
      else if (refusal !== null) refused ??= refusal;
      else {
        accepted.push(message);
        if (message.type !== "event") continue;
        from ||= message.seq;
        to = message.seq;
      }
    }
    if (accepted.length > 0) {
      const text = whole !== null && accepted.length === whole.count ? whole.text : JSON.stringify(accepted);
      const frame: SessionFrame = {
        type: "frame",
        epoch: this.#log.epoch,
        from,
        to,
        count: accepted.length,
        text,
      };
      this.#ctx.mesh.publish(`session:${this.sessionId}`, frame);
    }
    if (to > 0) {
      this.#held.push({ seq: to, chars: frameChars });
      this.#heldChars += frameChars;
      this.#commits ??= this.#commit();
    }
    if (duplicates > 0) this.#acknowledge();
    if (refused !== null) this.#refuse(refused);
  }

  #takeEvent(event: Event): Refusal | "duplicate" | null {
    const { counters } = this.#ctx;
    this.#received.value++;
    if (this.#log.uncommitted.length >= MAX_HELD_RECORDS || this.#heldChars >= MAX_HELD_CHARS) {
      counters.add("messages_dropped", "unacknowledged");
      return {
        code: "unavailable",
        message:
          `${this.#log.uncommitted.length} records wait for their commit; send no more than ${limits.unackedRecords} ` +
          `records or ${limits.unackedBytes} bytes before their event_ack`,
      };
    }
    const verdict = this.#log.acceptEvent(event);
    switch (verdict) {
      case "accept":
        counters.move("uncommitted_records", "", 1);
        return null;
      case "duplicate":
        counters.add("records_duplicate", "");
        return "duplicate";
      case "gap":
        return { code: "gap", message: `expected seq ${this.#log.lastSeq + 1}, got ${event.seq}; send from there on` };
      case "stale":
        return { code: "stale_epoch", message: `epoch ${event.epoch} is not this registration's ${this.#log.epoch}` };
    }
  }

  #takeDelta(delta: Delta): Refusal | "duplicate" | null {
    this.#deltas.value++;
    const verdict = this.#log.acceptDelta(delta);
    switch (verdict) {
      case "accept":
        return null;
      case "duplicate":
        return "duplicate";
      case "gap":
        return {
          code: "gap",
          message:
            `the delta at ${delta.at} of entry ${delta.entryId} leaves a hole; send its text from the last record on`,
        };
      case "stale":
        return { code: "stale_epoch", message: `epoch ${delta.epoch} is not this registration's ${this.#log.epoch}` };
      case "too_large":
        return {
          code: "too_large",
          message: `open text of a session may hold ${limits.entryBytes} characters; write it as a record`,
        };
    }
  }

  #refuse(refusal: Refusal): void {
    this.connection.sendError({ ...refusal, sessionId: this.sessionId });
    if (refusal.code === "stale_epoch") this.connection.close(closeCodes.replaced, "stale epoch");
    // The host reconnects with back-off and sends again from what is acknowledged.
    if (refusal.code === "unavailable") this.connection.close(closeCodes.protocolError, "too much unacknowledged");
  }

  #acknowledge(): void {
    if (this.#state !== "attached") return;
    this.connection.send({ type: "event_ack", sessionId: this.sessionId, seq: this.#log.ackedSeq });
  }

  /** Commits what is held until nothing is left: one commit in flight, the next takes what came meanwhile. */
  async #commit(): Promise<void> {
    let delayMs = RETRY_MIN_MS;
    while (this.#log.uncommitted.length > 0 && this.#state !== "over") {
      const batch = this.#log.uncommitted.slice(0, COMMIT_RECORDS);
      const startMs = performance.now();
      try {
        this.#committed(await this.#ctx.store.log.commit(this.lease, batch), batch);
        this.#ctx.counters.observe("commit", performance.now() - startMs);
        delayMs = RETRY_MIN_MS;
      } catch (error) {
        // Replaced meanwhile, perhaps by a later registration on this very socket.
        if ((this.#state as string) === "over") break;
        if (error instanceof StaleEpochError) {
          this.supersede();
          break;
        }
        const refusal = refusalOf(error);
        if (refusal !== null) {
          this.connection.sendError({ ...refusal, sessionId: this.sessionId });
          this.connection.close(closeCodes.protocolError, "a record cannot be stored");
          break;
        }
        this.#ctx.counters.add("commits_failed", "");
        this.#ctx.log.warn("commit_failed", { sessionId: this.sessionId, error: errorText(error) });
        // Nobody waits for these records any more: the host has them in its journal and sends them again.
        if (this.#state !== "attached") break;
        if (delayMs >= REPORT_AFTER_MS) this.#reportOutage();
        await this.#wait(delayMs);
        delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
      }
    }
    this.#commits = null;
  }

  #committed(ackedSeq: number, batch: readonly Event[]): void {
    const before = this.#log.uncommitted.length;
    this.#log.commit(ackedSeq);
    const done = before - this.#log.uncommitted.length;
    this.#ctx.counters.add("records_committed", "", done);
    this.#ctx.counters.move("uncommitted_records", "", -done);
    let freed = 0;
    while (freed < this.#held.length && this.#held[freed]!.seq <= this.#log.ackedSeq) {
      this.#heldChars -= this.#held[freed]!.chars;
      freed++;
    }
    this.#held.splice(0, freed);
    this.#isOutage = false;
    this.#acknowledge();
    const isRow = batch.some(({ meta }) => meta !== undefined && rowFields.some((field) => field in meta));
    this.#ctx.hints.sessionRow(this.lease.userId, this.sessionId, !isRow);
  }

  #reportOutage(): void {
    if (this.#isOutage) return;
    this.#isOutage = true;
    this.connection.sendError({
      code: "unavailable",
      message: "the hub cannot store records now; it keeps trying",
      sessionId: this.sessionId,
    });
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(this.#retry?.timer);
        this.#retry = null;
        resolve();
      };
      this.#retry = { timer: setTimeout(wake, delayMs), wake };
    });
  }

  /** The hub stops. Resolves when all that was taken is committed and acknowledged; nothing more is taken. */
  async quiesce(): Promise<void> {
    this.#isQuiet = true;
    await this.#commits;
  }

  /** A newer registration took over: nothing of this one counts any more. Its socket is closed unless it is `successor`'s. */
  supersede(successor?: Connection): void {
    if (this.#state === "over") return;
    this.#end();
    if (this.connection === successor) return;
    this.connection.sendError({
      code: "stale_epoch",
      message: "a newer registration of this session's host took over",
      sessionId: this.sessionId,
    });
    this.connection.close(closeCodes.replaced, "replaced by a newer registration");
  }

  /** The session was deleted: the host is told to stop and not to come back. */
  expire(): void {
    this.#end();
    this.connection.send({ type: "session_expired", sessionId: this.sessionId });
    this.connection.close(closeCodes.deleted, "the session was deleted");
  }

  /** The host's socket is gone: commits what it sent, then gives the lease back. Resolves when that is done. */
  async detach(): Promise<void> {
    if (this.#state !== "attached") return;
    this.#state = "draining";
    this.#questions.end();
    this.#retry?.wake();
    await this.#commits;
    const wasCurrent = (this.#state as string) !== "over";
    this.#end();
    if (!wasCurrent) return;
    try {
      await this.#ctx.store.log.release(this.lease);
    } catch (error) {
      this.#ctx.log.warn("release_failed", { sessionId: this.sessionId, error: errorText(error) });
    }
    this.#ctx.hints.sessionStatus(this.lease.userId, this.sessionId);
  }

  /** Stops: nothing is committed or forwarded from here on. */
  #end(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#questions.end();
    this.#retry?.wake();
    this.#ctx.counters.move("live_sessions", "", -1);
    this.#ctx.counters.move("uncommitted_records", "", -this.#log.uncommitted.length);
    if (this.#ctx.liveSessions.get(this.sessionId) === this) this.#ctx.liveSessions.delete(this.sessionId);
  }
}
