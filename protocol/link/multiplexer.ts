/**
 * Many streams over one ordered transport of messages. Pure: no socket, no timer. The same code serves both ends.
 *
 * Two bounds keep a stream from the others' way. Each stream has credit, granted again as its reader takes bytes: a reader that
 * stands still stops its own writer only. And the link as a whole has at most linkLimits.socketBytes on their way (sent and not
 * said to be received): what is sent next waits behind that much and no more. Among streams that have something to send, turns
 * go round, one DATA frame each.
 */
import type * as z from "zod/mini";
import { ChurnTable } from "../churn_table.ts";
import { decodeJson, decodeMessage, type FrameHandler, frameTypes, headerJson, LinkProtocolError } from "./codec.ts";
import { MessageWriter } from "./message_writer.ts";
import { ReceiveBudget } from "./receive_budget.ts";
import { MuxStream, type StreamLink } from "./stream.ts";
import { linkLimits, type ResetCode, StreamResetError } from "./types.ts";

/** What carries the messages of a link to its other end: all of them, in order, or none from some point on. */
export interface LinkTransport {
  /** Sends one message. The bytes are the caller's again when it returns. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** Bytes sent that have not left yet. */
  bufferedBytes(): number;
}

export interface MultiplexerOptions<Header> {
  transport: LinkTransport;
  /** What a stream's header must be. */
  header: z.ZodMiniType<Header>;
  /** Streams that the other end opens are handed to it, and belong to it. Without it this end opens them. */
  onStream?(stream: MuxStream<Header>): void;
  /** The other end broke the protocol, or does not read: the transport must be closed. Every stream has failed by then. */
  onFailed(error: LinkProtocolError): void;
  /** Runs `pump` soon, once. Default: at the end of the present microtasks. */
  schedule?(pump: () => void): void;
  /** Other bounds than those of linkLimits; firstBytes and socketBytes must be the same at both ends. */
  firstBytes?: number;
  windowBytes?: number;
  sharedBytes?: number;
  socketBytes?: number;
  streams?: number;
}

export interface MultiplexerStats {
  /** Open now. */
  streams: number;
  /** Of streams that do not exist (any more), or that say nothing. */
  ignoredFrames: number;
  /** Streams of the other end that were refused: too many, not its to open, headers that are none. */
  refusedStreams: number;
  /** Payload of DATA frames. */
  sentBytes: number;
  receivedBytes: number;
  /** Credit given beyond each stream's first bytes, with what came by it and was not read. */
  sharedBytes: number;
  /** Grants that were cut short because the link's shared bytes were used up. */
  squeezedGrants: number;
}

/** Bytes that may wait in the transport: its other end does not read them, though the link's window is over long ago. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;

export class Multiplexer<Header> implements StreamLink, FrameHandler {
  readonly budget: ReceiveBudget;
  readonly #options: MultiplexerOptions<Header>;
  readonly #socketBytes: number;
  readonly #maxStreams: number;
  readonly #writer: MessageWriter;
  readonly #streams = new ChurnTable<MuxStream<Header>>();
  readonly #stats = { ignoredFrames: 0, refusedStreams: 0, sentBytes: 0, receivedBytes: 0 };
  /** Streams that may have credit to grant. */
  readonly #owing = new Set<MuxStream<unknown>>();
  /** Streams with something to send, whose turn it is first. */
  #ready: MuxStream<unknown>[] = [];
  /** Bytes that the other end has not said to have received. */
  #inFlightBytes = 0;
  /** Bytes received that the other end was not told of. */
  #unsaidBytes = 0;
  #lastStreamId = 0;
  #owesPong = false;
  #isScheduled = false;
  #isOver = false;
  /** Of the message that is being received. */
  #isBorrowed = false;

  constructor(options: MultiplexerOptions<Header>) {
    this.#options = options;
    const { firstBytes, windowBytes, sharedBytes } = { ...linkLimits, ...options };
    this.budget = new ReceiveBudget({ firstBytes, windowBytes, sharedBytes });
    this.#socketBytes = options.socketBytes ?? linkLimits.socketBytes;
    this.#maxStreams = options.streams ?? linkLimits.streams;
    this.#writer = new MessageWriter((message) => options.transport.send(message));
  }

  get stats(): MultiplexerStats {
    const { usedBytes, squeezedGrants } = this.budget;
    return { streams: this.#streams.size, sharedBytes: usedBytes, squeezedGrants, ...this.#stats };
  }

  /** Opens a stream. Throws StreamResetError `too_many_streams` or `link_lost`, RangeError when the header is too large. */
  open(header: Header): MuxStream<Header> {
    if (this.#options.onStream) throw new Error("streams of this link are opened by its other end");
    if (this.#isOver) throw new StreamResetError("link_lost", "the link is lost");
    if (this.#streams.size >= this.#maxStreams) {
      throw new StreamResetError("too_many_streams", `this link has ${this.#maxStreams} streams open already`);
    }
    const id = this.#nextStreamId();
    const json = headerJson(header);
    const stream = new MuxStream(id, header, this);
    this.#streams.set(id, stream);
    this.#writer.addOpen(id, json);
    this.#schedule();
    return stream;
  }

  /** Asks the other end for a sign of life; its answer arrives like everything else. */
  ping(): void {
    if (this.#isOver) return;
    this.#writer.addEmpty(0, frameTypes.ping);
    this.#schedule();
  }

  /** A message has come. `borrowed`: its memory will be written over after this, so what is kept of it is copied. */
  receive(message: Uint8Array, lifetime: "kept" | "borrowed" = "kept"): void {
    if (this.#isOver) return;
    this.#isBorrowed = lifetime === "borrowed";
    try {
      decodeMessage(message, this);
    } catch (error) {
      if (!(error instanceof LinkProtocolError)) throw error;
      this.#fail(error);
      return;
    }
    if (this.#owesPong || this.#unsaidBytes >= this.#socketBytes / 8) this.#schedule();
  }

  /** The transport is gone: every stream fails with `link_lost`. */
  lost(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ready = [];
    this.#owing.clear();
    for (const stream of this.#streams.values()) stream.fail(new StreamResetError("link_lost", reason));
  }

  /** Sends what may be sent now. It is called by itself when there is something new. */
  pump(): void {
    if (this.#isOver) return;
    // What it does itself asks for no other pump.
    this.#isScheduled = true;
    if (this.#options.transport.bufferedBytes() > MAX_BUFFERED_BYTES) {
      this.#fail(new LinkProtocolError("too_large", `the other end did not read ${MAX_BUFFERED_BYTES} bytes`));
      return;
    }
    this.#writeOwed();
    while (this.#ready.length > 0 && this.#inFlightBytes < this.#socketBytes) {
      const stream = this.#ready.shift()!;
      const room = this.#socketBytes - this.#inFlightBytes;
      const length = Math.min(stream.sendableBytes, linkLimits.dataBytes, room);
      stream.isQueued = false;
      if (length === 0) continue;
      this.#inFlightBytes += length;
      this.#stats.sentBytes += length;
      stream.takeInto(this.#writer.addData(stream.id, length));
      if (stream.sendableBytes > 0) this.ready(stream);
    }
    this.#writer.flush();
    this.#isScheduled = false;
  }

  // --- StreamLink

  ready(stream: MuxStream<unknown>): void {
    if (stream.isQueued) return;
    stream.isQueued = true;
    this.#ready.push(stream);
    this.#schedule();
  }

  owes(stream: MuxStream<unknown>): void {
    this.#owing.add(stream);
    this.#schedule();
  }

  sendEnd(stream: MuxStream<unknown>): void {
    if (this.#isOver) return;
    this.#writer.addEmpty(stream.id, frameTypes.end);
    this.#schedule();
  }

  sendReset(stream: MuxStream<unknown>, code: ResetCode, message: string): void {
    this.#writeReset(stream.id, code, message);
  }

  finished(stream: MuxStream<unknown>): void {
    this.#streams.delete(stream.id);
    this.#owing.delete(stream);
  }

  // --- FrameHandler

  onOpen(streamId: number, payload: Uint8Array): void {
    const { onStream, header } = this.#options;
    if (onStream === undefined) return this.#refuse(streamId, "refused", "streams are opened by the other end");
    if (this.#streams.has(streamId)) {
      throw new LinkProtocolError("malformed", `stream ${streamId} is open and is opened again`);
    }
    if (this.#streams.size >= this.#maxStreams) {
      return this.#refuse(streamId, "too_many_streams", `at most ${this.#maxStreams} streams may be open`);
    }
    const parsed = header.safeParse(readJson(payload));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      return this.#refuse(streamId, "protocol_error", `header: ${issue?.path.join(".")}: ${issue?.message}`);
    }
    const stream = new MuxStream(streamId, parsed.data, this);
    this.#streams.set(streamId, stream);
    try {
      onStream(stream);
    } catch (error) {
      stream.reset("internal", error instanceof Error ? error.message : String(error));
    }
  }

  onData(streamId: number, bytes: Uint8Array): void {
    this.#unsaidBytes += bytes.length;
    this.#stats.receivedBytes += bytes.length;
    const stream = this.#find(streamId);
    if (stream === undefined || stream.received(bytes, this.#isBorrowed)) return;
    stream.reset("credit_overrun", "more was sent than was granted, or after the end");
  }

  onCredit(streamId: number, bytes: number): void {
    if (streamId !== 0) {
      const stream = this.#find(streamId);
      if (stream !== undefined && !stream.granted(bytes)) {
        stream.reset("protocol_error", "more credit was granted than can be");
      }
      return;
    }
    if (bytes > this.#inFlightBytes) {
      throw new LinkProtocolError(
        "malformed",
        `${bytes} bytes are said to be received; ${this.#inFlightBytes} were sent`,
      );
    }
    this.#inFlightBytes -= bytes;
    if (this.#ready.length > 0) this.#schedule();
  }

  onEnd(streamId: number): void {
    const stream = this.#find(streamId);
    if (stream !== undefined && !stream.remoteEnded()) stream.reset("protocol_error", "the stream was ended twice");
  }

  onReset(streamId: number, code: ResetCode, message: string): void {
    this.#find(streamId)?.fail(new StreamResetError(code, message));
  }

  onPing(): void {
    this.#owesPong = true;
  }

  onPong(): void {}

  // --- inside

  #find(streamId: number): MuxStream<Header> | undefined {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.#stats.ignoredFrames++;
    return stream;
  }

  #refuse(streamId: number, code: ResetCode, message: string): void {
    this.#stats.refusedStreams++;
    this.#streams.get(streamId)?.fail(new StreamResetError("protocol_error", "the other end opened it itself"));
    this.#writeReset(streamId, code, message);
  }

  /** Ids come again only after all the others: no frame of an old stream is still on its way then. */
  #nextStreamId(): number {
    do {
      this.#lastStreamId = this.#lastStreamId === 0xffffffff ? 1 : this.#lastStreamId + 1;
    } while (this.#streams.has(this.#lastStreamId));
    return this.#lastStreamId;
  }

  #writeReset(streamId: number, code: ResetCode, message: string): void {
    if (this.#isOver) return;
    this.#writer.addReset(streamId, code, message);
    this.#schedule();
  }

  /** Says what is owed before anything is sent: an answer to pings, what was received, credit. */
  #writeOwed(): void {
    if (this.#owesPong) this.#writer.addEmpty(0, frameTypes.pong);
    this.#owesPong = false;
    if (this.#unsaidBytes >= this.#socketBytes / 8) {
      this.#writer.addCredit(0, this.#unsaidBytes);
      this.#unsaidBytes = 0;
    }
    if (this.#owing.size === 0) return;
    for (const stream of this.#owing) {
      const bytes = stream.takeGrant();
      if (bytes > 0) this.#writer.addCredit(stream.id, bytes);
    }
    this.#owing.clear();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isOver) return;
    this.#isScheduled = true;
    const { schedule = queueMicrotask } = this.#options;
    schedule(() => this.pump());
  }

  #fail(error: LinkProtocolError): void {
    this.lost(error.message);
    this.#options.onFailed(error);
  }
}

/** The JSON of a header; undefined when it is none, which no schema takes. */
function readJson(payload: Uint8Array): unknown {
  try {
    return decodeJson(payload);
  } catch (error) {
    if (error instanceof LinkProtocolError) return undefined;
    throw error;
  }
}
