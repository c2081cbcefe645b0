/**
 * The data link of a runner (design §7): one binary WebSocket that carries many flow-controlled byte streams. These are
 * the shapes that both ends program against; the codec and the multiplexer lie beside this file.
 */
import * as z from "zod/mini";
import { limits } from "../limits.ts";
import { Id } from "../shared.ts";

/** Header names and values in order, repeats kept. Names are lower case. */
export const HeaderList = z.array(
  z.tuple([z.string().check(z.minLength(1), z.maxLength(256)), z.string().check(z.maxLength(16 * 1024))]),
).check(z.maxLength(256));
export type HeaderList = z.infer<typeof HeaderList>;

/** What a stream is for: the JSON payload of its OPEN frame. Streams are opened by the hub. */
export const StreamHeader = z.discriminatedUnion("kind", [
  /** Attaches to a terminal of the runner; bytes are terminal messages (see terminal.ts). */
  z.object({ kind: z.literal("terminal"), terminalId: Id, viewerId: Id, canWrite: z.boolean() }),
  /** One HTTP request to a local port. The body follows as bytes; the answer begins with its head (see tunnel.ts). */
  z.object({
    kind: z.literal("http"),
    tunnelId: Id,
    port: z.int().check(z.gte(1), z.lte(65_535)),
    method: z.string().check(z.minLength(1), z.maxLength(32)),
    /** Path and query, as the client sent them. */
    target: z.string().check(z.minLength(1), z.maxLength(32 * 1024)),
    headers: HeaderList,
  }),
  /** One WebSocket to a local port; bytes are WebSocket messages (see tunnel.ts). */
  z.object({
    kind: z.literal("websocket"),
    tunnelId: Id,
    port: z.int().check(z.gte(1), z.lte(65_535)),
    target: z.string().check(z.minLength(1), z.maxLength(32 * 1024)),
    headers: HeaderList,
    protocols: z.array(z.string().check(z.maxLength(256))).check(z.maxLength(32)),
  }),
]);
export type StreamHeader = z.infer<typeof StreamHeader>;

export const resetCodes = [
  "cancelled", // the other end does not want it any more
  "refused", // not allowed (port not exposed, terminal not yours, limit reached)
  "unreachable", // nothing listens there
  "protocol_error",
  "credit_overrun", // more was sent than was granted
  "too_many_streams",
  "link_lost", // the link broke; also what both ends report for all streams of a lost link
  "internal",
] as const;
export type ResetCode = (typeof resetCodes)[number];

/** A stream ended before its regular end. */
export class StreamResetError extends Error {
  override name = "StreamResetError";
  constructor(readonly code: ResetCode, message: string) {
    super(message);
  }
}

/** One end of a stream. Each direction ends by itself (END); a reset ends both. */
export interface LinkStream {
  readonly header: StreamHeader;
  /**
   * The next bytes, or null at the regular end. Credit for them is granted back when they are taken, so a reader that does
   * not read slows its writer and no one else. Rejects with StreamResetError. One read at a time.
   */
  read(): Promise<Uint8Array | null>;
  /** Resolves when all bytes are handed to the link within the granted credit. The bytes must not be changed before; then they may be used again. Rejects with StreamResetError. */
  write(bytes: Uint8Array): Promise<void>;
  /** Regular end of this end's direction. */
  end(): void;
  /** Ends both directions at once; idempotent. */
  reset(code: ResetCode, message?: string): void;
  /** Resolves when both directions have ended, with the reset that did it or null. */
  readonly closed: Promise<StreamResetError | null>;
}

/** What the hub side offers to gateways and routes, on whichever isolate they run (lib/link). */
export interface HubLinks {
  /**
   * Opens a stream to a runner: over its link when that is on this isolate, otherwise through the isolate that has it.
   * Rejects with StreamResetError `unreachable` when the runner has no link now.
   */
  open(runnerId: string, header: StreamHeader): Promise<LinkStream>;
}

/** What the runner side offers to terminals and tunnels (runner/link): they take streams by kind. */
export interface StreamAcceptors {
  /** Registers who takes streams of a kind. A second registration of a kind throws. The acceptor owns the stream from then on. */
  accept<K extends StreamHeader["kind"]>(
    kind: K,
    acceptor: (stream: LinkStream, header: Extract<StreamHeader, { kind: K }>) => void,
  ): void;
}

/** Bounds of the link. */
export const linkLimits = {
  /** Largest payload of one DATA frame: keeps head-of-line blocking short. */
  dataBytes: 64 * 1024,
  /** Credit of a new stream, each way, and what every stream may always have; what a reader takes is granted again. */
  firstBytes: 32 * 1024,
  /** Most credit of a stream: it grows to this while its reader keeps up. */
  windowBytes: 1024 * 1024,
  /** What all streams of a link together may be sent beyond their first bytes and have not read, at each end of the link. */
  sharedBytes: 24 * 1024 * 1024,
  /** Streams open at once on one link. */
  streams: 1_024,
  /** Bytes that the multiplexer keeps in the socket's buffer before it waits. */
  socketBytes: 2 * 1024 * 1024,
  headerBytes: 256 * 1024,
  silenceMs: limits.silenceMs,
} as const;
