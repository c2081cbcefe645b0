/** One WebSocket of a namespace: parsing, typed errors at a bounded rate, batching writes, heartbeat. */
import {
  closeCodes,
  type ErrorMessage,
  limits,
  type MessageOf,
  type MessageSchemas,
  type ParsedFrame,
  parseFrame,
} from "@/protocol/mod.ts";
import type { Counters, Slot } from "@/lib/counters.ts";
import { errorText, type Log } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import type { Flushable, Ticker } from "./ticker.ts";

export type Namespace = "relay" | "runner" | "viewer" | "hub" | "runners" | "link" | "terminal";

/** Error replies that a socket may cause at once; each second it wins back one tenth. Beyond it the socket is closed. */
const ERROR_BURST = 50;
/** Time between two looks at a socket. */
const LOOK_MS = 1_000;
/** Bytes that may wait in a socket: beyond it, it is closed. Viewers and lists are held back long before. */
const MAX_BUFFERED_BYTES = 2 * limits.frameBytes;
/** Characters written between two looks at the socket's bufferedAmount. */
const BUFFER_CHECK_CHARS = 64 * 1024;
/** A batch of queued messages is cut into frames of about this size. */
const BATCH_CHARS = 1024 * 1024;

export interface ConnectionOptions<S extends MessageSchemas> {
  namespace: Namespace;
  socket: WebSocket;
  principal: Principal;
  schemas: S;
  counters: Counters;
  ticker: Ticker;
  log: Log;
  /** Frames are parsed before they get here; what was wrong with them has been answered. `text` is the frame as it came. */
  onFrame(frame: ParsedFrame<MessageOf<S>>, text: string): void;
  /** The hub stops: takes nothing more and resolves when what was received is safe and acknowledged. */
  onGoingAway?(): Promise<void>;
  /** Called once, when the socket is closed or was given up. */
  onClose(): void;
}

export class Connection implements Flushable {
  readonly id = crypto.randomUUID();
  readonly namespace: Namespace;
  readonly principal: Principal;
  readonly #options: ConnectionOptions<MessageSchemas>;
  readonly #socket: WebSocket;
  readonly #received: Slot;
  readonly #sent: Slot;
  readonly #openedMs = performance.now();
  #queue: FrameText[] = [];
  /** Something was written in this turn: what follows is batched. */
  #isBusy = false;
  #isClosed = false;
  #charsSinceCheck = 0;
  #lastHeardMs = performance.now();
  #lastPingMs = 0;
  #errorAllowance = ERROR_BURST;
  #errorRefilledMs = performance.now();

  /** Takes over an open socket. */
  static open<S extends MessageSchemas>(options: ConnectionOptions<S>): Connection {
    const { onFrame } = options;
    // The frames that it gets were parsed against these very schemas.
    return new Connection({ ...options, onFrame: (frame, text) => onFrame(frame as ParsedFrame<MessageOf<S>>, text) });
  }

  private constructor(options: ConnectionOptions<MessageSchemas>) {
    this.#options = options;
    this.#socket = options.socket;
    this.namespace = options.namespace;
    this.principal = options.principal;
    options.counters.add("connections_opened", this.namespace);
    options.counters.move("connections", this.namespace, 1);
    this.#received = options.counters.slot("socket_received_bytes", this.namespace);
    this.#sent = options.counters.slot("socket_sent_bytes", this.namespace);
    // Made in the socket's open event: before it nothing can be sent, and nothing comes.
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = () => this.#finish();
    this.#socket.onerror = () => this.#finish();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes handed to the socket that the peer has not taken yet. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** Sends a message: at once when nothing was sent in this turn, else in one frame with the others of the turn. */
  send(message: object): void {
    this.sendJson(JSON.stringify(message));
  }

  /** As `send`, for the JSON of one message. */
  sendJson(json: string): void {
    if (this.#isClosed) return;
    if (this.#isBusy) {
      this.#queue.push({ text: json, count: 1 });
      return;
    }
    this.#isBusy = true;
    this.#options.ticker.add(this);
    this.#write(json);
  }

  /** Sends a whole frame now, after what is queued. */
  sendFrame(text: string): void {
    if (this.#isClosed) return;
    this.#writeQueue();
    this.#write(text);
  }

  /** Ends the turn's batch; the ticker calls it. */
  flush(): void {
    if (this.#isClosed) return;
    if (this.#queue.length === 0) {
      this.#isBusy = false;
      return;
    }
    this.#writeQueue();
    this.#options.ticker.add(this);
  }

  /** Answers with a typed error, and closes the socket that causes too many. */
  sendError(error: Omit<ErrorMessage, "type">): void {
    if (this.#isClosed) return;
    this.#options.counters.add("frames_refused", error.code);
    const now = performance.now();
    const refill = (now - this.#errorRefilledMs) / 1000 * (ERROR_BURST / 10);
    this.#errorAllowance = Math.min(ERROR_BURST, this.#errorAllowance + refill) - 1;
    this.#errorRefilledMs = now;
    if (this.#errorAllowance < 0) {
      this.send({
        type: "error",
        code: "rate_limited",
        message: `more than ${ERROR_BURST} refused messages in a short time; the last: ${error.message}`.slice(
          0,
          2_000,
        ),
      });
      this.close(closeCodes.protocolError, "too many refused messages");
      return;
    }
    this.send({ type: "error", ...error, message: error.message.slice(0, 2_000) });
  }

  /** Closes the socket after what is queued. `reason` is cut to what a close frame can hold. */
  close(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#writeQueue();
    try {
      this.#socket.close(code, shortReason(reason));
    } catch (error) {
      this.#options.log.debug("close_failed", { namespace: this.namespace, error: errorText(error) });
    }
    this.#finish();
  }

  /** Closes the socket because the hub stops, after what came over it is safe. Resolves when it is closed. */
  async goAway(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await this.#options.onGoingAway?.();
    } catch (error) {
      this.#options.log.warn("going_away_failed", { namespace: this.namespace, error: errorText(error) });
    }
    this.close(closeCodes.goingAway, "the hub is shutting down");
  }

  /** Pings a quiet peer and gives up a dead one. The heart calls it about once a second. */
  beat(nowMs: number): void {
    if (this.#isClosed) return;
    const silentMs = nowMs - this.#lastHeardMs;
    // It is looked at about once a second: what would be too long at the next look is dead now.
    if (silentMs > limits.silenceMs - LOOK_MS) {
      this.#options.counters.add("sockets_silent", this.namespace);
      this.close(closeCodes.protocolError, `silent for ${limits.silenceMs / 1000} s`);
    } else if (silentMs >= limits.heartbeatMs && nowMs - this.#lastPingMs >= limits.heartbeatMs) {
      this.#lastPingMs = nowMs;
      this.send({ type: "ping", at: Date.now() });
    }
  }

  #receive(data: unknown): void {
    if (this.#isClosed) return;
    this.#lastHeardMs = performance.now();
    if (typeof data === "string") this.#received.value += data.length;
    if (isOversize(data)) {
      this.sendError({
        code: "too_large",
        message: `a frame may hold at most ${limits.frameBytes} bytes; send large content in several messages`,
      });
      this.close(closeCodes.protocolError, "frame too large");
      return;
    }
    const frame = parseFrame(this.#options.schemas, data);
    if (frame.unknownTypes > 0) this.#options.counters.add("unknown_types", this.namespace, frame.unknownTypes);
    for (const error of frame.errors) this.sendError(error);
    let heartbeats = 0;
    for (const message of frame.messages as { type: string; at?: number }[]) {
      if (message.type === "ping") this.send({ type: "pong", ...(message.at === undefined ? {} : { at: message.at }) });
      if (message.type === "ping" || message.type === "pong") heartbeats++;
    }
    if (heartbeats === frame.messages.length || this.#isClosed) return;
    try {
      this.#options.onFrame(frame, data as string);
    } catch (error) {
      this.#options.log.error("frame_failed", { namespace: this.namespace, error: errorText(error) });
      this.sendError({ code: "internal", message: "the hub failed on this frame; its log has the details" });
    }
  }

  #writeQueue(): void {
    if (this.#queue.length === 0) return;
    const queue = this.#queue;
    this.#queue = [];
    for (const { text } of joinFrames(queue)) this.#write(text);
  }

  #write(text: string): void {
    if (this.#isClosed || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(text);
    this.#sent.value += text.length;
    this.#charsSinceCheck += text.length;
    if (this.#charsSinceCheck < BUFFER_CHECK_CHARS) return;
    this.#charsSinceCheck = 0;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.close(closeCodes.protocolError, `did not read ${MAX_BUFFERED_BYTES} bytes`);
    }
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#queue = [];
    const { counters, log } = this.#options;
    counters.move("connections", this.namespace, -1);
    log.info("socket_closed", {
      namespace: this.namespace,
      socketId: this.id,
      ms: Math.round(performance.now() - this.#openedMs),
    });
    this.#options.onClose();
  }
}

/** The JSON text of one message or of an array of them, and how many messages it holds. */
export interface FrameText {
  text: string;
  count: number;
}

/** Joins frames, in order, into as few as the bounds of a frame allow, without decoding them. */
export function joinFrames(items: readonly FrameText[]): FrameText[] {
  if (items.length === 1) return [items[0]!];
  const frames: FrameText[] = [];
  let parts: string[] = [];
  let count = 0;
  let chars = 0;
  const cut = () => {
    if (parts.length > 0) frames.push({ text: `[${parts.join(",")}]`, count });
    parts = [];
    count = 0;
    chars = 0;
  };
  for (const item of items) {
    const part = item.text.charCodeAt(0) === OPENING_BRACKET ? item.text.slice(1, -1) : item.text;
    if (chars + part.length > BATCH_CHARS || count + item.count > limits.messagesPerFrame) cut();
    parts.push(part);
    count += item.count;
    chars += part.length;
  }
  cut();
  return frames;
}
const OPENING_BRACKET = 0x5b;

/** Whether a frame is over the limit in bytes of UTF-8. Counts them only when its length leaves a doubt. */
export function isOversize(data: unknown): boolean {
  if (data instanceof ArrayBuffer) return data.byteLength > limits.frameBytes;
  if (data instanceof Blob) return data.size > limits.frameBytes;
  if (typeof data !== "string" || data.length * 3 <= limits.frameBytes) return false;
  if (data.length > limits.frameBytes) return true;
  let bytes = 0;
  for (let i = 0; i < data.length; i++) {
    const unit = data.charCodeAt(i);
    // Each half of a surrogate pair counts two of the pair's four bytes.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return bytes > limits.frameBytes;
}

/** A close reason holds at most 123 bytes (RFC 6455 §5.5). */
export function shortReason(reason: string): string {
  return reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 123);
}
