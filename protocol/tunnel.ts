/**
 * Tunnels: a local port of a runner made reachable through the hub. What people see of one, and what travels on its
 * streams of the data link. Pure: both ends and the browser use it.
 *
 * On an `http` stream the runner's bytes are a head (`encodeHead`) and then the body; the hub's bytes are the request's body.
 * On a `websocket` stream the runner's bytes are a head too; with status 101, messages (`encodeSocketMessage`) follow both ways.
 */
import * as z from "zod/mini";
import { HeaderList } from "./link/types.ts";
import { limits } from "./limits.ts";
import { Id, TimeMs } from "./shared.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

export const tunnelLimits = {
  /** Tunnels of one user, and ports that one runner exposes. */
  perUser: 256,
  perRunner: 128,
  /** Requests and sockets open at once on one tunnel (per isolate of the hub) unless its owner says otherwise. */
  connections: 256,
  maxConnections: 512,
  minBytesPerS: 1_000,
  maxBytesPerS: 10_000_000_000,
  /** Head of a local server's answer. */
  headBytes: 128 * KiB,
  /** One WebSocket message. */
  messageBytes: 32 * MiB,
  /** Bytes of WebSocket messages that a side keeps for a slow other side before it closes the socket (1008). */
  socketBacklogBytes: 64 * MiB,
  /** The access log, per isolate: requests that are over, requests under way, and characters of their parts. One KV value. */
  logEntries: 100,
  logOpenEntries: 16,
  logMethodChars: 16,
  logPathChars: 256,
  logWhoChars: 64,
  /** How long a ticket may wait to be used. */
  ticketMs: 60_000,
  /** How long a browser stays admitted to a tunnel. */
  grantMs: 12 * 60 * 60 * 1000,
  /** Share links of one tunnel. */
  shares: 32,
  sharePasswordChars: 256,
} as const;

/** What the label of a tunnel's own origin looks like; it is the tunnel's id. 130 random bits in base 32. */
export const tunnelLabel = /^[a-z2-7]{26}$/;
export const TunnelId = z.string().check(z.regex(tunnelLabel, "must be a tunnel's id"));

const PortNumber = z.int("must be a whole number").check(
  z.gte(1, "must be at least 1"),
  z.lte(65_535, "must be at most 65535"),
);

/** A host beside loopback that a runner's owner may allow: a name or an address, nothing else. */
export const TunnelHost = z.string().check(
  z.maxLength(253),
  z.regex(/^[A-Za-z0-9.:-]+$/, "must be a host name or an IP address"),
);

/** What a tunnel carries at most. */
export const TunnelBounds = z.object({
  connections: z.int("must be a whole number").check(
    z.gte(1, "must be at least 1"),
    z.lte(tunnelLimits.maxConnections, `must be at most ${tunnelLimits.maxConnections}`),
  ),
  /** Bytes per second, both directions together, per isolate. Null: as fast as it goes. */
  bytesPerS: z.nullable(
    z.int("must be a whole number of bytes").check(
      z.gte(tunnelLimits.minBytesPerS, `must be at least ${tunnelLimits.minBytesPerS} bytes a second`),
      z.lte(tunnelLimits.maxBytesPerS, `must be at most ${tunnelLimits.maxBytesPerS} bytes a second`),
    ),
  ),
});
export type TunnelBounds = z.infer<typeof TunnelBounds>;

/** Body of `POST /api/tunnels`. */
export const NewTunnel = z.object({
  runnerId: Id,
  port: PortNumber,
  /** A host of the runner's network that its owner allowed; default: the runner itself. */
  host: z.optional(TunnelHost),
  name: z.optional(z.string().check(z.trim(), z.maxLength(limits.titleChars))),
  sessionId: z.optional(Id),
  /** Ends by itself after this. */
  ttlMs: z.optional(z.int().check(z.gte(1_000), z.lte(365 * 24 * 60 * 60 * 1000))),
  bounds: z.optional(z.partial(TunnelBounds)),
});
export type NewTunnel = z.infer<typeof NewTunnel>;

/** Body of `POST /api/tunnels/<id>/shares`. */
export const NewShare = z.object({
  name: z.optional(z.string().check(z.trim(), z.maxLength(limits.titleChars))),
  ttlMs: z._default(z.int().check(z.gte(1_000), z.lte(365 * 24 * 60 * 60 * 1000)), 24 * 60 * 60 * 1000),
  password: z.optional(z.string().check(z.minLength(1), z.maxLength(tunnelLimits.sharePasswordChars))),
});
export type NewShare = z.infer<typeof NewShare>;

export const ShareInfo = z.object({
  shareId: Id,
  name: z.string().check(z.maxLength(limits.titleChars)),
  createdAt: TimeMs,
  expiresAt: TimeMs,
  hasPassword: z.boolean(),
});
export type ShareInfo = z.infer<typeof ShareInfo>;

/** A tunnel as lists show it. */
export const TunnelInfo = z.object({
  tunnelId: TunnelId,
  runnerId: Id,
  runnerName: z.nullable(z.string().check(z.maxLength(limits.titleChars))),
  /** Whether the runner is connected now. */
  isConnected: z.boolean(),
  port: PortNumber,
  host: z.nullable(TunnelHost),
  name: z.string().check(z.maxLength(limits.titleChars)),
  sessionId: z.nullable(Id),
  createdBy: z.string().check(z.maxLength(limits.titleChars)),
  createdAt: TimeMs,
  expiresAt: z.nullable(TimeMs),
  bounds: TunnelBounds,
  /** Where its pages are, as the asking browser reaches them. `origin`: an origin of its own. `path`: sandboxed, see docs/tunnels.md. */
  address: z.nullable(z.object({ form: z.enum(["origin", "path"]), url: z.string().check(z.maxLength(2_048)) })),
  shares: z.array(ShareInfo).check(z.maxLength(tunnelLimits.shares)),
});
export type TunnelInfo = z.infer<typeof TunnelInfo>;

/** One line of a tunnel's access log. */
export const AccessEntry = z.object({
  at: TimeMs,
  method: z.string().check(z.maxLength(tunnelLimits.logMethodChars)),
  path: z.string().check(z.maxLength(tunnelLimits.logPathChars)),
  /** 101 for a WebSocket; 499: the client went away first; null: under way. */
  status: z.nullable(z.int().check(z.gte(0), z.lte(999))),
  /** Bytes of bodies, both ways. */
  bytes: z.int().check(z.nonnegative()),
  /** Null: under way. */
  ms: z.nullable(z.int().check(z.nonnegative())),
  /** "owner", or the name of a share link. */
  who: z.string().check(z.maxLength(tunnelLimits.logWhoChars)),
});
export type AccessEntry = z.infer<typeof AccessEntry>;

// ---- Runner: which ports are exposed ----

/** Hub to runner: expose a port under this id. Answered with tunnel_result. */
export const ExposePort = z.object({
  type: z.literal("expose_port"),
  requestId: Id,
  tunnelId: TunnelId,
  port: PortNumber,
  host: z.nullable(TunnelHost),
  sessionId: z.nullable(Id),
  expiresAt: z.nullable(TimeMs),
  /** The runner's other tunnels. Those that it knows and the hub does not were closed while it was away. */
  others: z.array(TunnelId).check(z.maxLength(tunnelLimits.perUser)),
});
export type ExposePort = z.infer<typeof ExposePort>;

/** Hub to runner: this tunnel is closed. Answered with tunnel_result. */
export const UnexposePort = z.object({ type: z.literal("unexpose_port"), requestId: Id, tunnelId: TunnelId });
export type UnexposePort = z.infer<typeof UnexposePort>;

export const TunnelResult = z.object({
  type: z.literal("tunnel_result"),
  requestId: Id,
  ok: z.boolean(),
  /** For the person who asked. */
  error: z.optional(z.string().check(z.maxLength(2_000))),
});
export type TunnelResult = z.infer<typeof TunnelResult>;

/** A port that a process of a session listens on (meta.ports). */
export const ListeningPort = z.object({
  port: PortNumber,
  /** Name of the process. */
  process: z.optional(z.string().check(z.maxLength(256))),
});
export type ListeningPort = z.infer<typeof ListeningPort>;

// ---- Bytes of streams ----

/** The head of an answer: what comes first from the runner. */
export const AnswerHead = z.object({ status: z.int().check(z.gte(100), z.lte(599)), headers: HeaderList });
export type AnswerHead = z.infer<typeof AnswerHead>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The bytes of a stream are not what they must be. */
export class TunnelBytesError extends Error {
  override name = "TunnelBytesError";
}

/** Four bytes of length (big endian), then JSON, then what is there of the body. */
export function encodeHead(head: AnswerHead, body?: Uint8Array): Uint8Array {
  const json = encoder.encode(JSON.stringify(head));
  const bytes = new Uint8Array(4 + json.byteLength + (body?.byteLength ?? 0));
  new DataView(bytes.buffer).setUint32(0, json.byteLength);
  bytes.set(json, 4);
  if (body !== undefined) bytes.set(body, 4 + json.byteLength);
  return bytes;
}

/** Takes the head off the beginning of a stream, whatever pieces it comes in. */
export class HeadDecoder {
  #pending: Uint8Array = new Uint8Array(0);

  /** Null: more bytes are needed. `rest`: what came after the head. Throws TunnelBytesError. */
  push(bytes: Uint8Array): { head: AnswerHead; rest: Uint8Array } | null {
    const all = this.#pending.byteLength === 0 ? bytes : joined(this.#pending, bytes);
    this.#pending = all;
    if (all.byteLength < 4) return null;
    const length = new DataView(all.buffer, all.byteOffset).getUint32(0);
    // JSON may escape, so it may be somewhat longer than what it says.
    if (length > 8 * tunnelLimits.headBytes) throw new TunnelBytesError(`a head of ${length} bytes is too large`);
    if (all.byteLength < 4 + length) return null;
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(all.subarray(4, 4 + length)));
    } catch {
      throw new TunnelBytesError("the head of the answer is not JSON");
    }
    const head = AnswerHead.safeParse(value);
    if (!head.success) {
      throw new TunnelBytesError(`the head of the answer: ${head.error.issues[0]?.path.join(".")} is wrong`);
    }
    return { head: head.data, rest: all.subarray(4 + length) };
  }
}

/** A WebSocket message on a stream. */
export type SocketMessage =
  | { kind: "text"; text: string }
  | { kind: "binary"; bytes: Uint8Array }
  /** The last one of a direction. Code 1005: none was given. */
  | { kind: "close"; code: number; reason: string };

const kinds = ["text", "binary", "close"] as const;

/** One byte of kind, four of length (big endian), then the payload (close: two bytes of code, then the reason). */
export function encodeSocketMessage(message: SocketMessage): Uint8Array {
  const payload = message.kind === "binary"
    ? message.bytes
    : encoder.encode(message.kind === "text" ? message.text : `\0\0${message.reason}`);
  const bytes = new Uint8Array(5 + payload.byteLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = kinds.indexOf(message.kind);
  view.setUint32(1, payload.byteLength);
  bytes.set(payload, 5);
  if (message.kind === "close") view.setUint16(5, message.code);
  return bytes;
}

/** Puts WebSocket messages together from the pieces of a stream. */
export class SocketMessageDecoder {
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;

  /** The messages that these bytes complete. Throws TunnelBytesError. */
  push(bytes: Uint8Array): SocketMessage[] {
    this.#parts.push(bytes);
    this.#bytes += bytes.byteLength;
    const messages: SocketMessage[] = [];
    for (let head = this.#peekHead(); head !== null; head = this.#peekHead()) {
      if (this.#bytes < 5 + head.length) break;
      const all = this.#take(5 + head.length);
      messages.push(decodeMessage(head.kind, all.subarray(5)));
    }
    return messages;
  }

  #peekHead(): { kind: (typeof kinds)[number]; length: number } | null {
    if (this.#bytes < 5) return null;
    if (this.#parts[0]!.byteLength < 5) this.#parts.splice(0, this.#parts.length, joined(...this.#parts));
    const first = this.#parts[0]!;
    const kind = kinds[first[0]!];
    if (kind === undefined) throw new TunnelBytesError(`there is no kind ${first[0]} of WebSocket message`);
    const length = new DataView(first.buffer, first.byteOffset).getUint32(1);
    if (length > tunnelLimits.messageBytes) {
      throw new TunnelBytesError(`a WebSocket message of ${length} bytes is over ${tunnelLimits.messageBytes}`);
    }
    return { kind, length };
  }

  #take(count: number): Uint8Array {
    if (this.#parts[0]!.byteLength < count) this.#parts.splice(0, this.#parts.length, joined(...this.#parts));
    const first = this.#parts[0]!;
    this.#bytes -= count;
    if (first.byteLength === count) this.#parts.shift();
    else this.#parts[0] = first.subarray(count);
    return first.subarray(0, count);
  }
}

function decodeMessage(kind: (typeof kinds)[number], payload: Uint8Array): SocketMessage {
  if (kind === "binary") return { kind, bytes: payload };
  try {
    if (kind === "text") return { kind, text: decoder.decode(payload) };
    const code = new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint16(0);
    return { kind, code, reason: decoder.decode(payload.subarray(2)) };
  } catch {
    throw new TunnelBytesError(`a WebSocket message of kind "${kind}" is broken`);
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

/**
 * The code with which a socket may be closed on the other side: 1000 and the application's own (3000 to 4999) as they are.
 * The rest belong to the protocol and cannot be sent by an application; they arrive as 4000 plus their last digits (1011 as 4011).
 */
export function closeCodeOf(code: number): number {
  if (code === 1000 || (code >= 3000 && code <= 4999)) return code;
  return code === 1005 ? 1000 : code > 1000 && code < 1016 ? code + 3_000 : 4_000;
}

/** Of a message of the link that holds one frame, the frame's head. */
const FRAME_HEAD_MAX_BYTES = 16;
/** Smaller pieces may share their message with others, and leave little behind. */
const LET_GO_BYTES = 4 * 1024;

/**
 * Gives the memory of a piece back at once: the collector learns late of memory that is not its own, and by then a fast
 * download has left hundreds of megabytes. Only of pieces that fill their buffer, in which nothing else can be.
 */
export function letGo({ buffer, byteOffset, byteLength }: Uint8Array): void {
  const isAlone = byteOffset <= FRAME_HEAD_MAX_BYTES && byteOffset + byteLength === buffer.byteLength;
  if (isAlone && byteLength >= LET_GO_BYTES && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

// ---- Headers ----

/** A header name as RFC 9110 allows it, in lower case. */
export function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) && name.length <= 256;
}

/** A header value without CR, LF, NUL or other control characters (tab may be), each character one byte. */
export function isHeaderValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value) && value.length <= 16 * KiB;
}

/** A request target in origin form: a path, passed on as it came. */
export function isTarget(target: string): boolean {
  return /^\/[\x21-\x7e]*$/.test(target) && !target.includes("#") && target.length <= 32 * KiB;
}

export function isMethod(method: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(method) && method !== "CONNECT";
}

const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Without the headers that concern one connection only (RFC 9110 §7.6.1), those that Connection names included. */
export function endToEnd(headers: HeaderList): HeaderList {
  const named = new Set<string>();
  for (const [name, value] of headers) {
    if (name !== "connection") continue;
    for (const token of value.toLowerCase().split(",")) named.add(token.trim());
  }
  return headers.filter(([name]) => !hopByHop.has(name) && (named.size === 0 || !named.has(name)));
}
