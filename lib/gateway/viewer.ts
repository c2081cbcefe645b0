/** `/ws/viewer`: a browser tab or another client, attached to one session at a time. */
import { type ErrorMessage, isOpen, type MessageOf, viewerClient } from "@/protocol/mod.ts";
import { errorText } from "@/lib/log.ts";
import { Budget } from "@/lib/rate_limit.ts";
import { attach, liveStateOf, MAX_ATTEMPTS } from "./attach.ts";
import { commandSession } from "./commands.ts";
import { Connection } from "./connection.ts";
import { type GatewayContext, GatewayError, type SocketAcceptor } from "./context.ts";
import { loadPage } from "./history.ts";
import { newSeat, Room, type Seat } from "./room.ts";

type ViewerMessage = MessageOf<typeof viewerClient>;
type Message<T extends ViewerMessage["type"]> = Extract<ViewerMessage, { type: T }>;

/** Requests of one viewer that may be under way at once; beyond it they are refused. */
const MAX_REQUESTS = 32;
/** Content of an attach is held back while more than this waits in the socket. */
const MAX_BUFFERED_BYTES = 2 * 1024 * 1024;
/** How often a full socket is looked at while content waits for it. */
const DRAIN_CHECK_MS = 20;

/** Serves one viewer on an open socket. */
export const acceptViewer: SocketAcceptor = (ctx, socket, principal) => {
  const viewer = new Viewer(ctx);
  const connection = Connection.open({
    namespace: "viewer",
    socket,
    principal,
    schemas: viewerClient,
    counters: ctx.counters,
    ticker: ctx.ticker,
    log: ctx.log,
    onFrame: (frame) => frame.messages.forEach((message) => viewer.receive(message)),
    onClose: () => viewer.closed(),
  });
  viewer.connection = connection;
  return connection;
};

class Viewer {
  connection!: Connection;
  readonly #ctx: GatewayContext;
  #sessionId: string | null = null;
  #place: { room: Room; seat: Seat } | null = null;
  /** Counts up with every switch, so that an older one that is still reading stops. */
  #switches = 0;
  #isVisible = true;
  /** The session that counts this viewer as looking at it. */
  #watching: { userId: string; sessionId: string } | null = null;
  #requests = 0;
  readonly #reads: Budget;
  /** Up to where its person had seen the session that is being attached. */
  #seenSeq: number | undefined;

  constructor(ctx: GatewayContext) {
    this.#ctx = ctx;
    this.#reads = new Budget(ctx.bounds.viewerBurstRequests, ctx.bounds.viewerRequestsPerS, performance.now());
  }

  receive(message: ViewerMessage): void {
    if (message.type === "switch_session" || message.type === "load_messages") {
      const retryAfterMs = this.#reads.take(1, performance.now());
      if (retryAfterMs > 0) {
        this.connection.sendError({
          code: "rate_limited",
          message: `more than ${this.#ctx.bounds.viewerRequestsPerS} requests a second; wait and ask again`,
          ref: String(message.generation),
          sessionId: message.sessionId,
          retryAfterMs,
        });
        return;
      }
    }
    switch (message.type) {
      case "switch_session":
        this.#leave();
        this.#run(message, String(message.generation), () => this.#switchTo(message));
        break;
      case "load_messages":
        this.#run(message, String(message.generation), () => this.#loadMessages(message));
        break;
      case "command":
        this.#run(message, message.op, () => this.#command(message));
        break;
      case "viewer_visibility":
        this.#isVisible = message.visible;
        this.#updatePresence();
        this.#seenSeq = message.seenSeq ?? this.#seenSeq;
        this.#run({}, undefined, () => this.#markSeen());
        break;
    }
  }

  closed(): void {
    this.#leave();
  }

  /** Runs a request; what it throws is answered as a typed error. */
  async #run(
    { sessionId }: { sessionId?: string },
    ref: string | undefined,
    request: () => Promise<void>,
  ): Promise<void> {
    const about = { ...(ref === undefined ? {} : { ref }), ...(sessionId === undefined ? {} : { sessionId }) };
    if (this.#requests >= MAX_REQUESTS) {
      this.connection.sendError({
        code: "rate_limited",
        message: `${MAX_REQUESTS} requests of this viewer are under way; wait for their answers`,
        ...about,
      });
      return;
    }
    this.#requests++;
    try {
      await request();
    } catch (error) {
      this.connection.sendError({ ...this.#errorOf(error), ...about });
    } finally {
      this.#requests--;
    }
  }

  #errorOf(error: unknown): Pick<ErrorMessage, "code" | "message" | "field" | "retryAfterMs"> {
    if (error instanceof GatewayError) {
      const { code, message, field, retryAfterMs } = error;
      return { code, message, ...(field ? { field } : {}), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    }
    this.#ctx.log.warn("viewer_request_failed", { error: errorText(error) });
    return { code: "unavailable", message: "the hub cannot read or store this now; try again" };
  }

  #leave(): void {
    this.#switches++;
    this.#place?.room.leave(this.#place.seat);
    this.#place = null;
    this.#sessionId = null;
    this.#seenSeq = undefined;
    this.#updatePresence();
  }

  #updatePresence(): void {
    const { presence } = this.#ctx;
    const sessionId = this.#isVisible && !this.connection.isClosed ? this.#sessionId : null;
    if (this.#watching?.sessionId === sessionId) return;
    if (this.#watching !== null) presence.move(this.#watching.userId, this.#watching.sessionId, -1);
    this.#watching = sessionId === null ? null : { userId: this.connection.principal.userId, sessionId };
    if (this.#watching !== null) presence.move(this.#watching.userId, this.#watching.sessionId, 1);
  }

  async #switchTo({ sessionId, generation, cursor }: Message<"switch_session">): Promise<void> {
    const { userId } = this.connection.principal;
    const mine = ++this.#switches;
    const isOver = () => mine !== this.#switches || this.connection.isClosed;
    await this.#checkOwn(sessionId);
    // Once something of an attempt was sent, the viewer must ask again itself: a second verdict would be none of its generation.
    let isAnswered = false;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && !isAnswered; attempt++) {
      if (isOver()) return;
      const seat = newSeat(this.connection);
      const room = Room.join(this.#ctx, userId, sessionId, seat);
      this.#place = { room, seat };
      const sendJson = async (json: string) => {
        if (isOver()) return false;
        isAnswered = true;
        this.connection.sendJson(json);
        await this.#drained();
        return !isOver();
      };
      try {
        await room.ready;
        if (isOver()) return;
        const result = await attach(this.#ctx, {
          sessionId,
          userId,
          generation,
          cursor,
          buffer: seat.buffer,
          send: (message) => sendJson(JSON.stringify(message)),
          sendJson,
        });
        if (isOver()) return;
        if (result.outcome === "not_found") throw notFound(sessionId);
        const end = result.outcome === "attached" && !seat.mustRestart ? result.complete() : null;
        if (end !== null) {
          this.#sessionId = sessionId;
          for (const message of end.tail) this.connection.send(message);
          room.goLive(seat, end.cursor.epoch);
          this.#updatePresence();
          await this.#markSeen();
          return;
        }
      } finally {
        if (seat.state === "attaching") {
          room.leave(seat);
          if (this.#place?.seat === seat) this.#place = null;
        }
      }
    }
    this.connection.send({
      type: "disconnected",
      sessionId,
      code: "lagging",
      reason: "the session changed faster than it could be read; attach again",
    });
  }

  async #checkOwn(sessionId: string): Promise<void> {
    const info = await this.#ctx.store.sessions.info(this.connection.principal.userId, sessionId);
    if (info === null) throw notFound(sessionId);
  }

  /** Waits while the socket holds too much: what is read from KV meanwhile would only pile up. */
  async #drained(): Promise<void> {
    while (!this.connection.isClosed && this.connection.bufferedBytes > MAX_BUFFERED_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_CHECK_MS));
    }
  }

  async #loadMessages({ sessionId, generation, before, limit }: Message<"load_messages">): Promise<void> {
    const session = await this.#ctx.store.sessions.info(this.connection.principal.userId, sessionId);
    if (session === null) throw notFound(sessionId);
    await this.#drained();
    const page = await loadPage(this.#ctx, session, before, limit);
    const openIds = new Set(page.entries.filter(({ head }) => isOpen(head.status)).map(({ id }) => id));
    const live = openIds.size > 0 ? await liveStateOf(this.#ctx, sessionId) : null;
    this.connection.send({ type: "session_messages_page", sessionId, generation, ...page });
    for (const delta of live?.open ?? []) if (openIds.has(delta.entryId)) this.connection.send(delta);
  }

  async #command({ sessionId, op, command }: Message<"command">): Promise<void> {
    const status = await commandSession(this.#ctx, this.connection.principal, sessionId, op, command);
    // Attached viewers are told through their room, this one too.
    if (this.#sessionId !== sessionId || this.#place?.seat.state !== "live") this.connection.send(status);
  }

  /** Stores what its person has seen; while it attaches, once it is attached. */
  async #markSeen(): Promise<void> {
    const sessionId = this.#sessionId;
    const seenSeq = this.#seenSeq;
    if (seenSeq === undefined || sessionId === null) return;
    this.#seenSeq = undefined;
    const { userId } = this.connection.principal;
    await this.#ctx.store.sessions.markSeen(userId, sessionId, seenSeq);
    this.#ctx.hints.sessionRow(userId, sessionId);
  }
}

function notFound(sessionId: string): GatewayError {
  return new GatewayError("not_found", `there is no session "${sessionId}"`, "sessionId");
}
