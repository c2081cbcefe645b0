/**
 * A session's log as its host writes it: every change goes into the journal, then to the hub as far as the window allows
 * (design §4). Holds no socket: whoever has one hands it in as a sink.
 */
import {
  type EntryBodies,
  type EntryKind,
  Id,
  limits,
  type MetaPatch,
  type SessionMeta,
  streamField,
  type WireEntry,
} from "@/protocol/mod.ts";
import { ProducerLog, type ProducerWindow } from "@/protocol/log/mod.ts";
import type { EntryDraft, SessionWriter } from "./agents/agent.ts";
import { fitBody, MESSAGE_CHARS, soundHead, soundPatch } from "./entry_size.ts";
import type { Journal } from "./journal.ts";
import { streamText } from "./journal_index.ts";

/** A frame is closed when its messages reach this size, so that one frame never comes near limits.frameBytes. */
const FRAME_BYTES = 1024 * 1024;
/** Bytes that may wait in the socket before sending pauses. The journal keeps the rest. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
/** How soon a paused sender looks at its socket again. */
const SOCKET_POLL_MS = 20;

/** Where frames go: an open socket. */
export interface FrameSink {
  send(frame: string): void;
  bufferedBytes(): number;
}

export interface SessionLogOptions {
  sessionId: string;
  journal: Journal;
  window?: ProducerWindow;
  /** Called for what cannot be written and was left out. */
  warn?: (message: string) => void;
}

export class SessionLog implements SessionWriter {
  readonly journal: Journal;
  readonly #sessionId: string;
  readonly #window: ProducerWindow | undefined;
  readonly #warn: (message: string) => void;
  #producer: ProducerLog;
  #sink: FrameSink | null = null;
  #epoch = 0;
  /** Per open entry: how much of its stream text the hub was given on this connection. */
  readonly #sentLength = new Map<string, number>();
  readonly #dirty = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  readonly #settledWaiters = new Set<() => void>();
  #isClosed = false;

  constructor(options: SessionLogOptions) {
    this.journal = options.journal;
    this.#sessionId = options.sessionId;
    this.#window = options.window;
    this.#warn = options.warn ?? (() => {});
    this.#producer = new ProducerLog(this.journal.index.lastSeq, this.#window);
  }

  get lastSeq(): number {
    return this.journal.index.lastSeq;
  }
  /** Committed on the hub, as far as this host was told. */
  get ackedSeq(): number {
    return this.journal.index.ackedSeq;
  }
  get isRegistered(): boolean {
    return this.#producer.isRegistered;
  }
  /** Whether the hub has committed everything. */
  get isSettled(): boolean {
    return this.ackedSeq === this.lastSeq;
  }

  upsert<K extends EntryKind>(draft: EntryDraft<K>): void {
    const body = fitBody(draft.kind, draft.body);
    const known = this.journal.index.entries.get(draft.id);
    if (known && known.kind !== draft.kind) {
      throw new Error(`entry ${draft.id} is of kind ${known.kind} and cannot become ${draft.kind}`);
    }
    const entry: WireEntry = {
      id: draft.id,
      index: known?.index ?? this.journal.index.nextIndex,
      kind: draft.kind,
      head: { ...soundHead(draft.head), textLength: streamText({ kind: draft.kind, body }).length },
      body: { ...body },
    };
    // What the hub would refuse must not get into the journal: it would be sent, and refused, for ever.
    const id = Id.safeParse(entry.id);
    if (!id.success) throw new Error(`entry id "${entry.id.slice(0, 200)}" ${id.error.issues[0]?.message}`);
    this.journal.appendRecord({ entry });
    this.#producer.append();
    this.#dirty.delete(entry.id);
    // The record's own text length counts from here on; it may be shorter than what was sent before.
    this.#sentLength.delete(entry.id);
    this.#schedulePump();
  }

  append(entryId: string, text: string): void {
    const open = this.journal.index.open.get(entryId);
    if (!open || streamField(open.entry.kind) === null) {
      const known = this.journal.index.entries.get(entryId);
      throw new Error(
        `cannot append to entry ${entryId}: ${
          known ? `it is ${known.status}, of kind ${known.kind}` : "there is no such entry"
        }`,
      );
    }
    if (text === "") return;
    const at = streamText(open.entry).length;
    const { kind, head, body } = open.entry;
    if (at + text.length > (kind === "tool_call" ? limits.toolOutputChars : MESSAGE_CHARS)) {
      // Too long to grow by deltas: a record with the cut text takes its place.
      const field = streamField(kind) as string;
      const grown = { ...(body as Record<string, unknown>), [field]: streamText(open.entry) + text };
      const { textLength: _, ...draftHead } = head;
      this.upsert({ id: entryId, kind, head: draftHead, body: halved(kind, grown as EntryBodies[EntryKind]) });
      return;
    }
    this.journal.append({ t: "text", entryId, at, text });
    this.#dirty.add(entryId);
    this.#schedulePump();
  }

  entry<K extends EntryKind>(entryId: string): EntryDraft<K> | undefined {
    const entry = this.journal.entry(entryId);
    if (!entry) return undefined;
    const { textLength: _, ...head } = entry.head;
    return { id: entry.id, kind: entry.kind as K, head, body: entry.body as EntryBodies[K] };
  }

  openEntryIds(): string[] {
    const { entries } = this.journal.index;
    return [...this.journal.index.open.keys()].sort((a, b) =>
      (entries.get(a)?.index ?? 0) - (entries.get(b)?.index ?? 0)
    );
  }

  patchMeta(patch: MetaPatch): void {
    const { sound, refused } = soundPatch(patch);
    for (const reason of refused) this.#warn(`meta ${reason}; it was left out`);
    if (Object.keys(sound).length === 0) return;
    this.journal.appendRecord({ meta: sound });
    this.#producer.append();
    this.#schedulePump();
  }

  meta(): SessionMeta {
    return this.journal.index.meta;
  }

  /**
   * The hub answered a registration made with this journal's logId. `resend`: sending goes on after ackedSeq. `restart`: the hub
   * has records that this journal lost, or lacks some that were compacted away; the journal has begun a new log and must be registered again.
   */
  registered(epoch: number, ackedSeq: number, sink: FrameSink): "resend" | "restart" {
    if (!this.journal.index.canResendAfter(ackedSeq) || this.#producer.register(ackedSeq) === "restart") {
      this.journal.restart();
      this.#producer = new ProducerLog(this.lastSeq, this.#window);
      this.disconnected();
      return "restart";
    }
    this.#epoch = epoch;
    this.#sink = sink;
    this.journal.acked(ackedSeq);
    this.#sentLength.clear();
    for (const [id, open] of this.journal.index.open) {
      this.#sentLength.set(id, open.recordTextLength);
      this.#dirty.add(id);
    }
    this.#noteSettled();
    this.#schedulePump();
    return "resend";
  }

  /** The socket is gone: nothing is sent until the next registration. */
  disconnected(): void {
    this.#producer.disconnect();
    this.#sink = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** The hub has committed everything up to `seq`. False: it spoke of records that it was never sent. */
  acked(seq: number): boolean {
    if (!this.#producer.ack(seq)) return false;
    this.journal.acked(seq);
    this.#noteSettled();
    this.#schedulePump();
    return true;
  }

  /** Waits until the hub has committed everything; false when `signal` came first. */
  async settled(signal: AbortSignal): Promise<boolean> {
    if (this.isSettled) return true;
    if (signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settledWaiters.add(resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    this.#settledWaiters.delete(resolve);
    return this.isSettled;
  }

  #noteSettled(): void {
    if (this.isSettled) { for (const resolve of this.#settledWaiters) resolve(); }
  }

  /** Sends at the end of this tick, so that what is written together travels in one frame. */
  #schedulePump(delayMs = 0): void {
    if (this.#timer !== null || this.#sink === null || this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, delayMs);
  }

  /** Sends what may be sent now. */
  flush(): void {
    const sink = this.#sink;
    if (!sink) return;
    const frame = new FrameBuilder(sink);
    while (sink.bufferedBytes() < SOCKET_BUFFER_BYTES) {
      const range = this.#producer.takeSendable((seq) => this.#recordBytes(seq), 1);
      if (!range) break;
      for (let seq = range.from; seq <= range.to; seq++) frame.add(this.#eventJson(seq));
    }
    if (this.#producer.isCaughtUp && sink.bufferedBytes() < SOCKET_BUFFER_BYTES) this.#addDeltas(frame);
    frame.end();
    if (sink.bufferedBytes() >= SOCKET_BUFFER_BYTES) this.#schedulePump(SOCKET_POLL_MS);
  }

  #recordBytes(seq: number): number {
    return this.journal.index.records.get(seq)?.bytes ?? 0;
  }

  #eventJson(seq: number): string {
    return `{"type":"event","sessionId":${JSON.stringify(this.#sessionId)},"epoch":${this.#epoch},${
      this.journal.recordJson(seq)
    }}`;
  }

  #addDeltas(frame: FrameBuilder): void {
    for (const entryId of this.#dirty) {
      const open = this.journal.index.open.get(entryId);
      if (!open) continue;
      const text = streamText(open.entry);
      let at = Math.max(open.recordTextLength, this.#sentLength.get(entryId) ?? 0);
      while (at < text.length) {
        const part = text.slice(at, at + limits.deltaChars);
        frame.add(JSON.stringify({
          type: "delta",
          sessionId: this.#sessionId,
          epoch: this.#epoch,
          entryId,
          at,
          text: part,
        }));
        at += part.length;
      }
      this.#sentLength.set(entryId, at);
    }
    this.#dirty.clear();
  }

  /** Stops sending and closes the journal. */
  async close(): Promise<void> {
    this.disconnected();
    this.#isClosed = true;
    for (const resolve of this.#settledWaiters) resolve();
    await this.journal.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Cuts a message that outgrew its bound to its first half, with a marker, so that the next cut is far off; tool output is cut by fitBody. */
function halved(kind: EntryKind, body: EntryBodies[EntryKind]): EntryBodies[EntryKind] {
  if (kind === "tool_call") return body;
  const { text } = body as EntryBodies["thought"];
  const head = text.slice(0, MESSAGE_CHARS / 4);
  const tail = text.slice(text.length - MESSAGE_CHARS / 4);
  return { text: `${head}\n[${text.length - head.length - tail.length} characters cut]\n${tail}` };
}

/** Packs messages into as few frames as their size allows. */
class FrameBuilder {
  #messages: string[] = [];
  #chars = 0;

  constructor(readonly sink: FrameSink) {}

  add(message: string): void {
    if (this.#messages.length > 0 && this.#chars + message.length > FRAME_BYTES) this.end();
    this.#messages.push(message);
    this.#chars += message.length;
    if (this.#messages.length >= limits.messagesPerFrame / 2) this.end();
  }

  end(): void {
    if (this.#messages.length === 0) return;
    const [first] = this.#messages;
    this.sink.send(this.#messages.length === 1 ? first as string : `[${this.#messages.join(",")}]`);
    this.#messages = [];
    this.#chars = 0;
  }
}
