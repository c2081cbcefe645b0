/**
 * A WebSocket to the hub that is always being kept alive: it reconnects for ever, says honestly what it is doing, and
 * stops only when the hub says that reconnecting is pointless (a close code of `protocol/limits.ts`).
 */
import { closeCodes, limits } from "@/protocol/limits.ts";
import { type MessageOf, type MessageSchemas, parseFrame } from "@/protocol/frame.ts";
import { PROTOCOL_VERSION } from "@/protocol/version.ts";
import { backoffMs } from "./backoff.ts";

export type StopReason = "signed_out" | "version" | "replaced" | "deleted" | "disposed";

export type SocketState =
  | { kind: "connecting" }
  /** Open. Not answering: it should have been heard from by now, and is given up soon. */
  | { kind: "live"; isAnswering: boolean }
  /** Lost. `retryAt` is when the next attempt starts (ms since the epoch). */
  | { kind: "waiting"; retryAt: number }
  | { kind: "stopped"; reason: StopReason };

/** What a failed handshake turned out to be: browsers do not tell the status of a refused upgrade. */
export type ProbeResult = "ok" | "unauthorized" | "unreachable";

export interface LiveSocketOptions<S extends MessageSchemas> {
  /** Absolute `ws:` or `wss:` URL, without the protocol version. */
  url: string;
  /** Messages that the hub may send here. */
  schemas: S;
  onMessage: (message: MessageOf<S>) => void;
  /** Binary frames; without it they are unreadable. */
  onBytes?: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** The socket opened: announce who you are, send what waits. */
  onOpen?: () => void;
  onState: (state: SocketState) => void;
  /** Asked after a handshake that never opened. */
  probe: () => Promise<ProbeResult>;
  random?: () => number;
}

/** How long a socket that may have died in the background has to answer a ping. */
const WAKE_ANSWER_MS = 2_500;
/** The same when the browser says that the network went. */
const OFFLINE_ANSWER_MS = 700;
/** Both sides ping after `limits.heartbeatMs` of silence; this much more without an answer is worth telling. */
const DOUBT_MS = limits.heartbeatMs + 2_000;
const TICK_MS = 250;

export class LiveSocket<S extends MessageSchemas> {
  #options: LiveSocketOptions<S>;
  #socket: WebSocket | null = null;
  #state: SocketState = { kind: "connecting" };
  #attempt = 0;
  #lastReceivedAt = 0;
  #lastSentAt = 0;
  /** The socket must have received something by then, or it is dead. */
  #answerBy = Infinity;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #listeners = new AbortController();
  /** Frames that this side could not read: a sign of version skew, shown in settings and tests. */
  unreadable = 0;

  constructor(options: LiveSocketOptions<S>) {
    this.#options = options;
  }

  get state(): SocketState {
    return this.#state;
  }

  /** Connects, and keeps connecting until {@linkcode dispose}. */
  start(): void {
    if (this.#ticker !== undefined) return;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    const signal = this.#listeners.signal;
    const wake = () => this.wake();
    globalThis.addEventListener?.("online", wake, { signal });
    globalThis.addEventListener?.("offline", () => this.#check(OFFLINE_ANSWER_MS), { signal });
    globalThis.addEventListener?.("pageshow", wake, { signal });
    globalThis.document?.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.wake();
    }, { signal });
    this.#connect();
  }

  /** Sends now, or answers false when there is no open socket; what must not be lost waits in the outbox instead. */
  send(message: object): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    this.#lastSentAt = Date.now();
    return true;
  }

  /** As send, for a binary frame. */
  sendBytes(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(bytes);
    this.#lastSentAt = Date.now();
    return true;
  }

  /** Something happened that may have brought the network back, or killed it unseen: find out at once. */
  wake(): void {
    if (this.#state.kind === "waiting") this.#connect();
    else this.#check(WAKE_ANSWER_MS);
  }

  #check(answerMs: number): void {
    if (this.#state.kind !== "live") return;
    // A page that comes back from the browser's cache may find its socket closed without ever having been told.
    if (!this.send({ type: "ping" })) return this.#lost(1006, true);
    this.#answerBy = Math.min(this.#answerBy, Date.now() + answerMs);
  }

  dispose(): void {
    this.#stop("disposed");
  }

  #connect(): void {
    this.#drop();
    this.#setState({ kind: "connecting" });
    const url = new URL(this.#options.url);
    url.searchParams.set("protocolVersion", String(PROTOCOL_VERSION));
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#lastReceivedAt = Date.now();
    let hasOpened = false;
    socket.onopen = () => {
      hasOpened = true;
      this.#attempt = 0;
      this.#lastReceivedAt = this.#lastSentAt = Date.now();
      this.#setState({ kind: "live", isAnswering: true });
      this.#options.onOpen?.();
    };
    socket.onmessage = (event) => {
      this.#lastReceivedAt = Date.now();
      this.#answerBy = Infinity;
      this.#setAnswering(true);
      this.#receive(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lost(event.code, hasOpened);
    };
  }

  #receive(data: unknown): void {
    if (data instanceof ArrayBuffer && this.#options.onBytes) return this.#options.onBytes(new Uint8Array(data));
    const frame = parseFrame(this.#options.schemas, data);
    this.unreadable += frame.errors.length + frame.unknownTypes;
    for (const error of frame.errors) console.warn(`perch: unreadable message from the hub: ${error.message}`);
    for (const message of frame.messages) {
      const { type } = message as { type: string };
      if (type === "ping") this.send({ type: "pong" });
      else if (type !== "pong") this.#options.onMessage(message);
    }
  }

  #lost(code: number, hadOpened: boolean): void {
    this.#drop();
    const stop = stopReason(code);
    if (stop) return this.#stop(stop);
    const waitMs = code === closeCodes.goingAway
      ? Math.round(300 * (this.#options.random ?? Math.random)())
      : backoffMs(this.#attempt, (this.#options.random ?? Math.random)());
    this.#attempt++;
    this.#setState({ kind: "waiting", retryAt: Date.now() + waitMs });
    if (hadOpened) return;
    this.#options.probe().then((result) => {
      if (result === "unauthorized" && this.#state.kind === "waiting") this.#stop("signed_out");
    }, () => {});
  }

  #tick(): void {
    const now = Date.now();
    if (this.#state.kind === "waiting" && now >= this.#state.retryAt) return this.#connect();
    if (this.#state.kind !== "live" && this.#state.kind !== "connecting") return;
    if (now - this.#lastReceivedAt > limits.silenceMs || now > this.#answerBy) return this.#lost(1006, true);
    if (now - this.#lastReceivedAt > DOUBT_MS) this.#setAnswering(false);
    const quietSince = Math.max(this.#lastReceivedAt, this.#lastSentAt);
    if (this.#state.kind === "live" && now - quietSince > limits.heartbeatMs) this.send({ type: "ping" });
  }

  /** Forgets the socket so that nothing of it can reach this object any more. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#answerBy = Infinity;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    if (socket.readyState <= WebSocket.OPEN) socket.close(1000);
  }

  #stop(reason: StopReason): void {
    this.#drop();
    clearInterval(this.#ticker);
    this.#listeners.abort();
    this.#setState({ kind: "stopped", reason });
  }

  #setAnswering(isAnswering: boolean): void {
    if (this.#state.kind === "live" && this.#state.isAnswering !== isAnswering) {
      this.#setState({ kind: "live", isAnswering });
    }
  }

  #setState(state: SocketState): void {
    if (this.#state.kind === "stopped") return;
    this.#state = state;
    this.#options.onState(state);
  }
}

/** Why a close code ends the reconnecting, or null when it does not. */
export function stopReason(code: number): StopReason | null {
  if (code === closeCodes.unauthorized) return "signed_out";
  if (code === closeCodes.protocolVersion) return "version";
  if (code === closeCodes.replaced) return "replaced";
  return code === closeCodes.deleted ? "deleted" : null;
}

/** The WebSocket URL of a path on the hub that served this page. */
export function hubSocketUrl(path: string): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Asks the hub over HTTP whether this browser is still signed in. */
export async function probeHub(): Promise<ProbeResult> {
  try {
    const response = await fetch("/api/runners", { headers: { accept: "application/json" } });
    await response.body?.cancel();
    return response.status === 401 ? "unauthorized" : "ok";
  } catch {
    return "unreachable";
  }
}
