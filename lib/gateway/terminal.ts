/**
 * `/ws/terminal?runnerId&terminalId`: one viewer of a terminal. Binary messages are pieces of its stream (protocol/terminal.ts) and
 * pass unread, both ways; text messages are heartbeats and errors of the hub.
 */
import * as z from "zod";
import { closeCodes, type ErrorCode, type ErrorMessage, Id, limits, parseFrame, Ping, Pong } from "@/protocol/mod.ts";
import { type LinkStream, type ResetCode, StreamResetError } from "@/protocol/link/types.ts";
import { terminalLimits } from "@/protocol/terminal.ts";
import type { Slot } from "@/lib/counters.ts";
import { errorText } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import { isOversize, shortReason } from "./connection.ts";
import type { GatewayContext, LiveSocket, SocketAcceptor } from "./context.ts";

const Query = z.object({ runnerId: Id, terminalId: Id });
const heartbeats = { ping: Ping, pong: Pong } as const;

/** Output that may wait in the viewer's socket; beyond it nothing is read from the stream. */
const SOCKET_BYTES = terminalLimits.windowBytes;
/** How often a full socket is looked at: the runtime does not tell when it drains. */
const DRAIN_CHECK_MS = 5;
/** Input that may wait for the runner; a viewer that sends more is closed. */
const INPUT_BYTES = 4 * 1024 * 1024;

/** What the viewer is told when the stream ends, and with which code its socket is closed. */
const endings: Readonly<Partial<Record<ResetCode, { error: ErrorCode; close: number }>>> = {
  refused: { error: "not_found", close: closeCodes.deleted },
  protocol_error: { error: "invalid_message", close: closeCodes.protocolError },
  too_many_streams: { error: "rate_limited", close: closeCodes.protocolError },
};
const elseUnavailable = { error: "unavailable", close: closeCodes.protocolError } as const;

/** Serves one viewer of a terminal on an open socket. */
export const acceptTerminal: SocketAcceptor = (ctx, socket, principal, url) =>
  new TerminalSocket(ctx, socket, principal, url);

class TerminalSocket implements LiveSocket {
  readonly id = crypto.randomUUID();
  readonly principal: Principal;
  readonly #ctx: GatewayContext;
  readonly #socket: WebSocket;
  readonly #received: Slot;
  readonly #sent: Slot;
  readonly #openedMs = performance.now();
  readonly #stream: Promise<LinkStream | null>;
  /** Input goes to the stream in the order in which it came. */
  #writing: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #isClosed = false;
  #drained: { timer: ReturnType<typeof setInterval>; resolve: () => void } | null = null;
  #lastHeardMs = performance.now();
  #lastPingMs = 0;

  constructor(ctx: GatewayContext, socket: WebSocket, principal: Principal, url: URL) {
    this.#ctx = ctx;
    this.#socket = socket;
    this.principal = principal;
    ctx.counters.add("connections_opened", "terminal");
    ctx.counters.move("connections", "terminal", 1);
    this.#received = ctx.counters.slot("socket_received_bytes", "terminal");
    this.#sent = ctx.counters.slot("socket_sent_bytes", "terminal");
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#finish();
    socket.onerror = () => this.#finish();
    this.#stream = this.#open(url);
    void this.#pump();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(message: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  sendError(error: Omit<ErrorMessage, "type">): void {
    this.#ctx.counters.add("frames_refused", error.code);
    this.send({ type: "error", ...error, message: error.message.slice(0, 2_000) });
  }

  close(code: number, reason: string): void {
    if (this.#isClosed) return;
    try {
      this.#socket.close(code, shortReason(reason));
    } catch (error) {
      this.#ctx.log.debug("close_failed", { namespace: "terminal", error: errorText(error) });
    }
    this.#finish();
  }

  goAway(): Promise<void> {
    this.close(closeCodes.goingAway, "the hub is shutting down");
    return Promise.resolve();
  }

  beat(nowMs: number): void {
    if (this.#isClosed) return;
    const silentMs = nowMs - this.#lastHeardMs;
    if (silentMs >= limits.silenceMs) {
      this.#ctx.counters.add("sockets_silent", "terminal");
      this.close(closeCodes.protocolError, `silent for ${limits.silenceMs / 1000} s`);
    } else if (silentMs >= limits.heartbeatMs && nowMs - this.#lastPingMs >= limits.heartbeatMs) {
      this.#lastPingMs = nowMs;
      this.send({ type: "ping", at: Date.now() });
    }
  }

  /** The stream to the terminal; null: there is none, and the viewer was told why. */
  async #open(url: URL): Promise<LinkStream | null> {
    const query = Query.safeParse(Object.fromEntries(url.searchParams));
    if (!query.success) {
      const issue = query.error.issues[0];
      const field = String(issue?.path[0] ?? "query");
      this.#fail(
        { code: "invalid_message", message: `${field}: ${issue?.message ?? "is not valid"}`, field },
        closeCodes.deleted,
      );
      return null;
    }
    const { runnerId, terminalId } = query.data;
    const { store, links, log } = this.#ctx;
    try {
      // Somebody else's runner is answered like none.
      if (await store.runners.info(this.principal.userId, runnerId) === null) {
        const message = `there is no runner "${runnerId}"`;
        this.#fail({ code: "not_found", message, field: "runnerId" }, closeCodes.deleted);
        return null;
      }
      const stream = await links.open(runnerId, { kind: "terminal", terminalId, viewerId: this.id, canWrite: true });
      if (this.#isClosed) {
        stream.reset("cancelled");
        return null;
      }
      return stream;
    } catch (error) {
      if (error instanceof StreamResetError) this.#ended(error);
      else {
        log.warn("terminal_open_failed", { runnerId, error: errorText(error) });
        this.#fail({ code: "unavailable", message: "the hub cannot open terminals now" }, closeCodes.protocolError);
      }
      return null;
    }
  }

  /** From the terminal to the viewer, as fast as the viewer reads. */
  async #pump(): Promise<void> {
    const stream = await this.#stream;
    if (stream === null) return;
    try {
      for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
        if (this.#socket.readyState !== WebSocket.OPEN) return;
        this.#socket.send(bytes as Uint8Array<ArrayBuffer>);
        this.#sent.value += bytes.length;
        if (this.#socket.bufferedAmount > SOCKET_BYTES) await this.#whenDrained();
      }
      this.#fail({ code: "not_found", message: "the terminal is closed" }, closeCodes.deleted);
    } catch (error) {
      if (error instanceof StreamResetError) this.#ended(error);
      else this.close(closeCodes.protocolError, errorText(error));
    }
  }

  #whenDrained(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (this.#isClosed || this.#socket.bufferedAmount <= SOCKET_BYTES / 2) this.#releaseDrain();
      }, DRAIN_CHECK_MS);
      this.#drained = { timer, resolve };
    });
  }

  #releaseDrain(): void {
    if (this.#drained === null) return;
    clearInterval(this.#drained.timer);
    this.#drained.resolve();
    this.#drained = null;
  }

  #receive(data: unknown): void {
    if (this.#isClosed) return;
    this.#lastHeardMs = performance.now();
    if (isOversize(data)) {
      const message = `a message may hold at most ${limits.frameBytes} bytes`;
      return this.#fail({ code: "too_large", message }, closeCodes.protocolError);
    }
    if (data instanceof ArrayBuffer) return this.#toTerminal(new Uint8Array(data));
    const frame = parseFrame(heartbeats, data);
    for (const error of frame.errors) this.sendError(error);
    if (frame.errors.length > 0) return this.close(closeCodes.protocolError, "not a heartbeat");
    for (const message of frame.messages) if (message.type === "ping") this.send({ type: "pong" });
  }

  #toTerminal(bytes: Uint8Array): void {
    this.#received.value += bytes.length;
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > INPUT_BYTES) {
      const message = `${INPUT_BYTES} bytes of input wait for the program already; send less at once`;
      return this.#fail({ code: "too_large", message }, closeCodes.protocolError);
    }
    this.#writing = this.#writing.then(async () => {
      const stream = await this.#stream;
      if (stream === null || this.#isClosed) return;
      await stream.write(bytes);
      this.#waitingBytes -= bytes.length;
      // A reset is told by the reading side.
    }).catch(() => {});
  }

  #ended({ code, message }: StreamResetError): void {
    const { error, close } = endings[code] ?? elseUnavailable;
    this.#fail({ code: error, message }, close);
  }

  #fail(error: Omit<ErrorMessage, "type">, closeCode: number): void {
    if (this.#isClosed) return;
    this.sendError(error);
    this.close(closeCode, error.message);
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#releaseDrain();
    const { counters, log } = this.#ctx;
    counters.move("connections", "terminal", -1);
    const ms = Math.round(performance.now() - this.#openedMs);
    log.info("socket_closed", { namespace: "terminal", socketId: this.id, ms });
    void this.#stream.then((stream) => stream?.reset("cancelled", "the viewer left"));
  }
}
