/**
 * One WebSocket to the hub that comes back by itself: back-off with full jitter, heartbeat, and an end only where the hub says
 * that there is no use in trying again.
 */
import { ClientSocket } from "@/protocol/link/client_socket.ts";
import { closeCodes, limits, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { type BackoffOptions, reconnectDelayMs } from "./backoff.ts";

/** Where and as whom to connect. Asked for before each attempt. */
export interface HubTarget {
  /** "https://hub.example" or "http://127.0.0.1:7700", with or without a path below which the hub lives. */
  hubUrl: string;
  apiKey: string;
}

/** Why a socket will not be tried again. */
export type HubRefusal = "unauthorized" | "replaced" | "protocol_version" | "deleted";

/** The runtime's WebSocket, or the one that sends small messages at once. */
export type HubWebSocket = WebSocket | ClientSocket;

export interface HubSocketHandlers {
  /** A connection is open. */
  onOpen(): void;
  /** A frame, as it came. */
  onFrame(data: unknown): void;
  /** The connection is gone; another attempt follows by itself. */
  onClose(reason: string): void;
  /** The hub refuses for good; nothing more happens until `restart`. */
  onRefused(refusal: HubRefusal, reason: string): void;
}

export interface HubSocketOptions {
  /** "/ws/runner", "/ws/relay" or "/ws/link". */
  path: string;
  target(): HubTarget;
  handlers: HubSocketHandlers;
  /** What is sent as a heartbeat; null: nothing now. Default: the protocol's ping. */
  ping?(): string | Uint8Array<ArrayBuffer> | null;
  heartbeatMs?: number;
  silenceMs?: number;
  random?: () => number;
  backoff?: BackoffOptions;
}

/** A connection that was confirmed this long ago was a good one: its break is met with an immediate attempt. */
const STABLE_MS = 5_000;

/** The WebSocket URL of a hub's endpoint. Throws a sentence naming the URL when it is not an http(s) URL. */
export function hubSocketUrl(hubUrl: string, path: string): string {
  const url = parseHubUrl(hubUrl);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = url.pathname.replace(/\/+$/, "") + path;
  return url.href;
}

/** Parses a hub's address. A bare "host:port" is taken as http for loopback names and as https otherwise. */
export function parseHubUrl(text: string): URL {
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(\/|$)/.test(text);
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `${isLoopback ? "http" : "https"}://${text}`;
  let url: URL;
  try {
    url = new URL(withScheme);
  } catch {
    throw new Error(`"${text}" is not a hub address; expected something like https://hub.example`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error(`"${text}" is not a hub address; it must begin with https:// or http://`);
  }
  url.search = "";
  url.hash = "";
  return url;
}

export class HubSocket {
  readonly #options: HubSocketOptions;
  #socket: HubWebSocket | null = null;
  #attempt = 0;
  #reconnectTimer: ReturnType<typeof setTimeout> | null = null;
  #heartbeatTimer: ReturnType<typeof setInterval> | null = null;
  #lastHeardAt = 0;
  #confirmedAt: number | null = null;
  #lastError = "";
  #isClosed = false;

  constructor(options: HubSocketOptions) {
    this.#options = options;
  }

  /** Connects. Also starts over after a refusal, and skips a running back-off. Does nothing while connected. */
  restart(): void {
    if (this.#isClosed || this.#socket) return;
    this.#attempt = 0;
    this.#connectAfter(0);
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Sends a frame; returns false when there is no open connection. Whoever sends must be able to send it again. */
  send(frame: string | Uint8Array<ArrayBuffer>): boolean {
    if (!this.#socket || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(frame);
    return true;
  }

  /** Bytes that wait in the socket. */
  bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** The hub accepted the registration: when this lasts, the next break is followed by an immediate attempt again. */
  confirm(): void {
    this.#confirmedAt = Date.now();
  }

  /** Drops the connection and makes a new one, after the back-off when there were failures. */
  reconnect(reason: string): void {
    if (this.#socket) this.#gone(reason, 1000);
  }

  #connectAfter(delayMs: number): void {
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = setTimeout(() => {
      this.#reconnectTimer = null;
      this.#connect();
    }, delayMs);
  }

  #connect(): void {
    let socket: HubWebSocket;
    try {
      const target = this.#options.target();
      socket = openSocket(hubSocketUrl(target.hubUrl, this.#options.path), {
        authorization: `Bearer ${target.apiKey}`,
        "x-perch-protocol": String(PROTOCOL_VERSION),
      });
    } catch (error) {
      this.#retry(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#socket = socket;
    this.#lastError = "";
    this.#lastHeardAt = Date.now();
    socket.onopen = () => {
      this.#lastHeardAt = Date.now();
      this.#options.handlers.onOpen();
    };
    socket.onmessage = (event: { data: unknown }) => {
      this.#lastHeardAt = Date.now();
      const { data } = event;
      this.#options.handlers.onFrame(data instanceof ArrayBuffer ? new Uint8Array(data) : data);
    };
    socket.onerror = (event: { message?: string }) => {
      this.#lastError = event.message ?? "";
    };
    socket.onclose = (event: { code: number; reason: string }) =>
      this.#closed(socket, event.code, event.reason || this.#lastError);
    this.#heartbeatTimer = setInterval(() => this.#heartbeat(), this.#options.heartbeatMs ?? limits.heartbeatMs);
  }

  #heartbeat(): void {
    if (Date.now() - this.#lastHeardAt >= (this.#options.silenceMs ?? limits.silenceMs)) {
      this.#gone("the hub fell silent", 1000);
      return;
    }
    const ping = this.#options.ping === undefined ? '{"type":"ping"}' : this.#options.ping();
    if (ping !== null) this.send(ping);
  }

  #closed(socket: HubWebSocket, code: number, reason: string): void {
    if (socket !== this.#socket) return;
    this.#forget();
    const refusal = refusalOf(code, reason);
    if (refusal) {
      this.#options.handlers.onClose(reason);
      this.#options.handlers.onRefused(refusal, reason);
      return;
    }
    if (code === closeCodes.goingAway) this.#attempt = 0;
    this.#retry(reason || `closed with code ${code}`);
  }

  /** Leaves the current socket behind without waiting for its closing handshake, which a dead peer never answers. */
  #gone(reason: string, code: number): void {
    const socket = this.#socket;
    this.#forget();
    closeQuietly(socket, code);
    this.#retry(reason);
  }

  #retry(reason: string): void {
    this.#options.handlers.onClose(reason);
    if (this.#isClosed) return;
    if (this.#confirmedAt !== null && Date.now() - this.#confirmedAt >= STABLE_MS) this.#attempt = 0;
    this.#confirmedAt = null;
    const random = this.#options.random ?? Math.random;
    this.#connectAfter(reconnectDelayMs(this.#attempt++, random(), this.#options.backoff));
  }

  #forget(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (this.#heartbeatTimer !== null) clearInterval(this.#heartbeatTimer);
    this.#heartbeatTimer = null;
    if (socket) {
      socket.onopen =
        socket.onmessage =
        socket.onerror =
        socket.onclose =
          null;
    }
  }

  /** Closes for good, with a closing handshake (at most a second), so that what was sent before has arrived. */
  async finish(): Promise<void> {
    const socket = this.#socket;
    this.close();
    if (!socket || socket.readyState === WebSocket.CLOSED) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, 1_000);
    socket.onclose = () => resolve();
    await promise;
    clearTimeout(timer);
    socket.onclose = null;
  }

  /** Closes for good. */
  close(): void {
    this.#isClosed = true;
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = null;
    const socket = this.#socket;
    this.#forget();
    closeQuietly(socket, 1000);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Close codes and upgrade answers after which trying again is of no use (protocol/limits.ts). */
function refusalOf(code: number, reason: string): HubRefusal | null {
  if (code === closeCodes.unauthorized || /Invalid status code: 401\b/.test(reason)) return "unauthorized";
  if (code === closeCodes.replaced) return "replaced";
  if (code === closeCodes.protocolVersion) return "protocol_version";
  return code === closeCodes.deleted ? "deleted" : null;
}

/**
 * Connects, through the proxy that the environment names if there is one. Otherwise with a client that sends small frames at once:
 * the runtime's leaves Nagle's algorithm on, so that of two small frames in a row the second (the next token) waits for
 * the first one's acknowledgement, 40 ms even on one machine. Only that client knows proxies, though.
 */
function openSocket(url: string, headers: Record<string, string>): HubWebSocket {
  const isProxied = ["http_proxy", "https_proxy", "all_proxy"].some((name) =>
    Deno.env.get(name) || Deno.env.get(name.toUpperCase())
  );
  if (!isProxied) return new ClientSocket(url, headers);
  // Deno's client takes request headers; the DOM's type of the constructor does not know them.
  const WebSocketWithHeaders = WebSocket as unknown as new (
    url: string,
    options: { headers: Record<string, string> },
  ) => WebSocket;
  const socket = new WebSocketWithHeaders(url, { headers });
  socket.binaryType = "arraybuffer";
  return socket;
}

function closeQuietly(socket: HubWebSocket | null, code: number): void {
  try {
    socket?.close(code);
  } catch {
    // It was not open yet, or is closed already.
  }
}
