/** The viewers of one session on this isolate. Live frames reach all of them as one string, encoded once by the host. */
import type { z } from "zod";
import { type CommandStatus, type Disconnected as DisconnectedSchema, limits } from "@/protocol/mod.ts";
import type { Slot } from "@/lib/counters.ts";
import { errorText } from "@/lib/log.ts";
import { FrameBuffer } from "./attach.ts";
import { type Connection, type FrameText, joinFrames } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import type { Flushable } from "./ticker.ts";
import type { SessionFrame, SessionTopicMessage } from "./topics.ts";

type Disconnected = z.infer<typeof DisconnectedSchema>;

/**
 * After a fan-out, further frames are held back as long as it took, so that under load they leave joined, for the price
 * of one write a viewer. At most this long.
 */
const MAX_HOLD_MS = 2;
/** Characters sent to a viewer between two looks at what its socket still holds. */
const BUFFER_CHECK_CHARS = 64 * 1024;
/** How often a viewer's socket that fell behind is looked at. */
const DRAIN_CHECK_MS = 50;
/** A socket counts as drained below this. */
const DRAINED_BYTES = 64 * 1024;
/** Changes of the session's state within this time are told once. */
const STATUS_MS = 50;
/** Characters that may wait in a batch. */
const MAX_PENDING_CHARS = 1024 * 1024;

/** One viewer's place in a room. */
export interface Seat {
  readonly connection: Connection;
  /** `attaching`: live frames are collected. `live`: it gets them. `slow`: it gets nothing until its socket drained. */
  state: "attaching" | "live" | "slow" | "left";
  /** Frames that came while it attaches. */
  buffer: FrameBuffer;
  /** The buffer overflowed or the mesh lost messages: the attach must begin again. */
  mustRestart: boolean;
  /** Messages other than frames that came while it attaches. */
  later: object[];
  charsSinceCheck: number;
}

export function newSeat(connection: Connection): Seat {
  return {
    connection,
    state: "attaching",
    buffer: new FrameBuffer(),
    mustRestart: false,
    later: [],
    charsSinceCheck: 0,
  };
}

export class Room implements Flushable {
  readonly sessionId: string;
  readonly userId: string;
  /** Resolves when no frame can be missed any more: state read afterwards plus what the seats get is all there is. */
  readonly ready: Promise<void>;
  readonly #ctx: GatewayContext;
  readonly #subscription: { [Symbol.dispose](): void };
  readonly #seats = new Set<Seat>();
  readonly #live = new Set<Seat>();
  readonly #deliveries: Slot;
  #epoch: number | null = null;
  #pending: FrameText[] = [];
  #pendingChars = 0;
  #isBusy = false;
  #sentMs = 0;
  #holdMs = 0;
  #statusTimer: ReturnType<typeof setTimeout> | undefined;
  /** What lists show is being read: a change that is told meanwhile may not be in it, so it is read once more. */
  #statusRead: "none" | "reading" | "stale" = "none";
  #drainTimer: ReturnType<typeof setInterval> | undefined;

  private constructor(ctx: GatewayContext, userId: string, sessionId: string) {
    this.#ctx = ctx;
    this.userId = userId;
    this.sessionId = sessionId;
    const subscription = ctx.mesh.subscribe(
      `session:${sessionId}`,
      (payload) => this.#receive(payload as SessionTopicMessage),
    );
    this.#subscription = subscription;
    this.ready = subscription.ready;
    this.#deliveries = ctx.counters.slot("deliveries", "");
  }

  /** Takes a seat in the session's room, which is made for the first. The caller has checked that the session is the user's. */
  static join(ctx: GatewayContext, userId: string, sessionId: string, seat: Seat): Room {
    let room = ctx.rooms.get(sessionId);
    if (room === undefined) {
      room = new Room(ctx, userId, sessionId);
      ctx.rooms.set(sessionId, room);
    }
    room.#seats.add(seat);
    return room;
  }

  leave(seat: Seat): void {
    seat.state = "left";
    this.#live.delete(seat);
    if (!this.#seats.delete(seat) || this.#seats.size > 0) return;
    this.#subscription[Symbol.dispose]();
    clearTimeout(this.#statusTimer);
    clearInterval(this.#drainTimer);
    if (this.#ctx.rooms.get(this.sessionId) === this) this.#ctx.rooms.delete(this.sessionId);
  }

  /** The seat has everything up to this moment: from here on it gets what the others get. */
  goLive(seat: Seat, epoch: number): void {
    if (seat.state !== "attaching") return;
    // What is held back here was in the seat's buffer too.
    this.#sendPending();
    this.#epoch = epoch;
    seat.state = "live";
    this.#live.add(seat);
    for (const message of seat.later.splice(0)) seat.connection.send(message);
  }

  /** Tells the viewers soon what lists show of the session now. */
  refreshStatus(): void {
    if (this.#statusRead !== "none") {
      this.#statusRead = "stale";
      return;
    }
    this.#statusTimer ??= setTimeout(() => this.#sendStatus(), STATUS_MS);
  }

  /** Ends the turn's batch; the ticker calls it. */
  flush(): void {
    if (performance.now() - this.#sentMs < this.#holdMs) {
      this.#ctx.ticker.add(this);
    } else if (this.#pending.length > 0) {
      this.#sendPending();
      this.#ctx.ticker.add(this);
    } else {
      this.#isBusy = false;
    }
  }

  #receive(message: SessionTopicMessage): void {
    switch (message.type) {
      case "frame":
        this.#receiveFrame(message);
        break;
      case "registered":
        if (this.#epoch !== null && message.epoch !== this.#epoch) this.#restart("the session's log began anew");
        break;
      case "status":
        this.refreshStatus();
        break;
      case "command_status":
        this.#broadcast(message.status);
        break;
      case "deleted":
        this.#disconnect("session_deleted", "the session was deleted");
        break;
      case "mesh_gap":
        this.#restart("messages between isolates were lost");
        break;
    }
  }

  #receiveFrame(frame: SessionFrame): void {
    if (this.#seats.size > this.#live.size) {
      for (const seat of this.#seats) {
        if (seat.state === "attaching" && !seat.buffer.push(frame)) seat.mustRestart = true;
      }
    }
    if (this.#live.size > 0) this.#push({ text: frame.text, count: frame.count });
  }

  #broadcast(message: CommandStatus | object): void {
    for (const seat of this.#seats) if (seat.state === "attaching") seat.later.push(message);
    if (this.#live.size > 0) this.#push({ text: JSON.stringify(message), count: 1 });
  }

  #push(item: FrameText): void {
    if (!this.#isBusy) {
      this.#isBusy = true;
      this.#ctx.ticker.add(this);
      this.#fanOut(item);
      return;
    }
    this.#pending.push(item);
    this.#pendingChars += item.text.length;
    if (this.#pendingChars > MAX_PENDING_CHARS) this.#sendPending();
  }

  #sendPending(): void {
    if (this.#pending.length === 0) return;
    const pending = this.#pending;
    this.#pending = [];
    this.#pendingChars = 0;
    for (const frame of joinFrames(pending)) this.#fanOut(frame);
  }

  #fanOut({ text, count }: FrameText): void {
    const startMs = performance.now();
    for (const seat of this.#live) {
      seat.charsSinceCheck += text.length;
      if (seat.charsSinceCheck > BUFFER_CHECK_CHARS) {
        seat.charsSinceCheck = 0;
        if (seat.connection.bufferedBytes > limits.viewerBufferedBytes) {
          this.#slowDown(seat);
          continue;
        }
      }
      seat.connection.sendFrame(text);
    }
    this.#deliveries.value += count * this.#live.size;
    this.#sentMs = performance.now();
    this.#holdMs = Math.min(MAX_HOLD_MS, this.#sentMs - startMs);
  }

  #slowDown(seat: Seat): void {
    this.#ctx.counters.add("viewers_slow", "");
    this.#live.delete(seat);
    seat.state = "slow";
    this.#drainTimer ??= setInterval(() => this.#checkDrained(), DRAIN_CHECK_MS);
  }

  /** A viewer whose socket drained is told to attach again with its cursor: it gets fresh state, not the backlog. */
  #checkDrained(): void {
    let waiting = 0;
    for (const seat of [...this.#seats]) {
      if (seat.state !== "slow") continue;
      if (seat.connection.bufferedBytes > DRAINED_BYTES) waiting++;
      else this.#detach(seat, "lagging", "this viewer did not read fast enough; attach again");
    }
    if (waiting > 0) return;
    clearInterval(this.#drainTimer);
    this.#drainTimer = undefined;
  }

  /** Live frames no longer continue what the viewers have. */
  #restart(reason: string): void {
    for (const seat of [...this.#seats]) {
      if (seat.state === "attaching") seat.mustRestart = true;
      if (seat.state !== "live") continue;
      this.#ctx.counters.add("viewers_reattached", "");
      this.#detach(seat, "lagging", `${reason}; attach again`);
    }
  }

  #disconnect(code: Disconnected["code"], reason: string): void {
    this.#sendPending();
    for (const seat of [...this.#seats]) this.#detach(seat, code, reason);
  }

  #detach(seat: Seat, code: Disconnected["code"], reason: string): void {
    this.#sendPending();
    const message: Disconnected = { type: "disconnected", sessionId: this.sessionId, code, reason };
    seat.connection.send(message);
    this.leave(seat);
  }

  async #sendStatus(): Promise<void> {
    this.#statusTimer = undefined;
    this.#statusRead = "reading";
    try {
      const session = await this.#ctx.store.sessions.info(this.userId, this.sessionId);
      if (session !== null) this.#broadcast({ type: "session_status", session });
    } catch (error) {
      this.#ctx.log.warn("status_failed", { sessionId: this.sessionId, error: errorText(error) });
    }
    const isStale = (this.#statusRead as string) === "stale";
    this.#statusRead = "none";
    if (isStale && this.#seats.size > 0) this.refreshStatus();
  }
}
