/** `/ws/link`: the data link of one runner daemon. After the hello, frames of the multiplexer. */
import { setImmediate } from "node:timers";
import { closeCodes, type ErrorMessage, limits, type MessageOf, parseFrame } from "@/protocol/mod.ts";
import { LinkProtocolError } from "@/protocol/link/codec.ts";
import { linkClient } from "@/protocol/link/hello.ts";
import { Multiplexer, type MultiplexerStats } from "@/protocol/link/multiplexer.ts";
import { StreamHeader } from "@/protocol/link/types.ts";
import type { Slot } from "@/lib/counters.ts";
import type { LinkLease } from "@/lib/link/link_store.ts";
import { errorText } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import { isOversize, shortReason } from "./connection.ts";
import { type GatewayContext, type LiveSocket, type SocketAcceptor, track } from "./context.ts";
import { versionRefusal } from "./upgrade.ts";

type Hello = MessageOf<typeof linkClient>;

/** Serves one runner's data link on an open socket. */
export const acceptLink: SocketAcceptor = (ctx, socket, principal) => new LinkSocket(ctx, socket, principal);

class LinkSocket implements LiveSocket {
  readonly id = crypto.randomUUID();
  readonly principal: Principal;
  readonly #ctx: GatewayContext;
  readonly #socket: WebSocket;
  readonly #received: Slot;
  readonly #sent: Slot;
  readonly #openedMs = performance.now();
  #state: "fresh" | "registering" | { lease: LinkLease; multiplexer: Multiplexer<StreamHeader> } | "closed" = "fresh";
  #lastHeardMs = performance.now();
  #lastPingMs = 0;
  #counted: Pick<MultiplexerStats, "streams" | "refusedStreams" | "ignoredFrames" | "squeezedGrants"> = {
    streams: 0,
    refusedStreams: 0,
    ignoredFrames: 0,
    squeezedGrants: 0,
  };

  constructor(ctx: GatewayContext, socket: WebSocket, principal: Principal) {
    this.#ctx = ctx;
    this.#socket = socket;
    this.principal = principal;
    ctx.counters.add("connections_opened", "link");
    ctx.counters.move("connections", "link", 1);
    this.#received = ctx.counters.slot("socket_received_bytes", "link");
    this.#sent = ctx.counters.slot("socket_sent_bytes", "link");
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#finish("the runner's link broke");
    socket.onerror = () => this.#finish("the runner's link broke");
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Sends a message of hello.ts. */
  send(message: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  sendError(error: Omit<ErrorMessage, "type">): void {
    this.#ctx.counters.add("frames_refused", error.code);
    this.send({ type: "error", ...error });
  }

  close(code: number, reason: string): void {
    if (this.isClosed) return;
    try {
      this.#socket.close(code, shortReason(reason));
    } catch (error) {
      this.#ctx.log.debug("close_failed", { namespace: "link", error: errorText(error) });
    }
    this.#finish(reason);
  }

  goAway(): Promise<void> {
    this.close(closeCodes.goingAway, "the hub is shutting down");
    return Promise.resolve();
  }

  /** Pings a quiet runner and gives up a dead one. */
  beat(nowMs: number): void {
    if (this.isClosed) return;
    const silentMs = nowMs - this.#lastHeardMs;
    this.#count();
    if (silentMs >= limits.silenceMs) {
      this.#ctx.counters.add("sockets_silent", "link");
      this.close(closeCodes.protocolError, `silent for ${limits.silenceMs / 1000} s`);
    } else if (silentMs >= limits.heartbeatMs && nowMs - this.#lastPingMs >= limits.heartbeatMs) {
      this.#lastPingMs = nowMs;
      if (typeof this.#state === "object") this.#state.multiplexer.ping();
    }
  }

  #receive(data: unknown): void {
    const state = this.#state;
    if (state === "closed") return;
    this.#lastHeardMs = performance.now();
    if (isOversize(data)) {
      return this.#refuse("too_large", `a message of the link may hold at most ${limits.frameBytes} bytes`);
    }
    if (typeof state === "object") {
      if (!(data instanceof ArrayBuffer)) {
        return this.#refuse("invalid_message", "a registered link takes binary messages only");
      }
      this.#received.value += data.byteLength;
      state.multiplexer.receive(new Uint8Array(data));
      return;
    }
    if (typeof data !== "string" || state !== "fresh") {
      return this.#refuse("invalid_message", "send register_link as text and wait for link_registered first");
    }
    const frame = parseFrame(linkClient, data);
    const [error] = frame.errors;
    const [hello] = frame.messages;
    if (error !== undefined) return this.#refuse(error.code, error.message, error.field);
    if (hello === undefined) return this.#refuse("invalid_message", "the first message must be register_link");
    this.#state = "registering";
    this.#register(hello).catch((failure) => {
      this.#ctx.log.warn("link_register_failed", { runnerId: hello.runnerId, error: errorText(failure) });
      this.#refuse("unavailable", "the hub cannot register links now");
    });
  }

  async #register({ runnerId, protocolVersion }: Hello): Promise<void> {
    const { links, log } = this.#ctx;
    const version = versionRefusal(protocolVersion);
    if (version !== null) {
      this.sendError({ code: "protocol_version", message: version.message, field: "protocolVersion" });
      return this.close(version.closeCode, "protocol version");
    }
    const lease = await links.register(this.principal.userId, runnerId);
    if (lease === null) {
      this.sendError({ code: "not_found", message: `there is no runner "${runnerId}"`, field: "runnerId" });
      return this.close(closeCodes.deleted, "no such runner");
    }
    if (this.isClosed) return await links.release(lease);
    const multiplexer = new Multiplexer({
      header: StreamHeader,
      transport: {
        send: (message) => this.#sendFrames(message),
        bufferedBytes: () => this.#socket.bufferedAmount,
      },
      // What several streams have to say in one turn of the event loop goes in one message.
      schedule: (pump) => void setImmediate(pump),
      onFailed: (error: LinkProtocolError) => this.#refuse("invalid_message", error.message),
    });
    this.#state = { lease, multiplexer };
    const isNewest = links.attach({
      lease,
      open: (header) => multiplexer.open(header),
      supersede: () => this.close(closeCodes.replaced, "replaced by a newer registration"),
      expire: () => this.close(closeCodes.deleted, "the runner was deleted"),
    });
    if (!isNewest) return this.close(closeCodes.replaced, "replaced by a newer registration");
    this.send({ type: "link_registered", runnerId });
    log.info("link_registered", { runnerId, socketId: this.id });
  }

  #sendFrames(message: Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#sent.value += message.byteLength;
    // The runtime copies the bytes before it returns.
    this.#socket.send(message);
  }

  /** Brings the hub's counters up to the multiplexer's. */
  #count(stats = typeof this.#state === "object" ? this.#state.multiplexer.stats : null): void {
    if (stats === null) return;
    const { counters } = this.#ctx;
    counters.move("link_streams", "", stats.streams - this.#counted.streams);
    counters.add("link_streams_refused", "", stats.refusedStreams - this.#counted.refusedStreams);
    counters.add("link_frames_ignored", "", stats.ignoredFrames - this.#counted.ignoredFrames);
    counters.add("link_grants_squeezed", "", stats.squeezedGrants - this.#counted.squeezedGrants);
    this.#counted = stats;
  }

  /** What came cannot be gone on with. */
  #refuse(code: ErrorMessage["code"], message: string, field?: string): void {
    if (this.isClosed) return;
    this.sendError({ code, message: message.slice(0, 2_000), ...(field === undefined ? {} : { field }) });
    this.close(closeCodes.protocolError, message);
  }

  #finish(reason: string): void {
    const state = this.#state;
    if (state === "closed") return;
    this.#state = "closed";
    const { counters, log, links } = this.#ctx;
    counters.move("connections", "link", -1);
    const ms = Math.round(performance.now() - this.#openedMs);
    log.info("socket_closed", { namespace: "link", socketId: this.id, ms });
    if (typeof state !== "object") return;
    track(this.#ctx, links.release(state.lease));
    state.multiplexer.lost(reason);
    this.#count(state.multiplexer.stats);
  }
}
