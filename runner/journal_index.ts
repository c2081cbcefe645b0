/**
 * What a journal's lines add up to. Pure: lines and their places in the file come in, the session's state is what stands here.
 * Bodies of closed entries are not kept in memory, only where their last record lies.
 */
import {
  type EntryKind,
  type EntryStatus,
  initialMeta,
  isOpen,
  limits,
  patchMeta,
  type SessionMeta,
  streamField,
  type WireEntry,
} from "@/protocol/mod.ts";
import { mergeDelta } from "@/protocol/log/mod.ts";
import type { JournalLine, WaitingPrompt } from "./journal_line.ts";

/** Where a line lies in the file, newline included. */
export interface LineSpan {
  offset: number;
  bytes: number;
}

export interface EntryRef {
  id: string;
  index: number;
  kind: EntryKind;
  status: EntryStatus;
  /** Log position of its last record. */
  seq: number;
  span: LineSpan;
}

/** An entry that may still grow, whole. */
export interface OpenEntry {
  /** As of its last record, but with all text appended since in its body. */
  entry: WireEntry;
  /** Length of the stream text in its last record. */
  recordTextLength: number;
}

export interface OpOutcome {
  status: "applied" | "rejected";
  reason?: string;
}

export class JournalIndex {
  logId: string;
  lastSeq = 0;
  /** The hub has committed up to here, as far as this journal was told. */
  ackedSeq = 0;
  meta: SessionMeta = initialMeta();
  /** Log position of the last meta patch; 0 when there was none. */
  metaSeq = 0;
  nextIndex = 0;
  readonly entries = new Map<string, EntryRef>();
  readonly open = new Map<string, OpenEntry>();
  /** Records that may have to be sent: those after ackedSeq. */
  readonly records = new Map<number, LineSpan>();
  readonly ops = new Map<string, OpOutcome>();
  readonly facts = new Map<string, string>();
  readonly queue = new Map<string, WaitingPrompt>();

  constructor(logId: string) {
    this.logId = logId;
  }

  /** Forgets everything, to be filled from a rewritten file. */
  reset(): void {
    this.lastSeq = 0;
    this.ackedSeq = 0;
    this.meta = initialMeta();
    this.metaSeq = 0;
    this.nextIndex = 0;
    for (const map of [this.entries, this.open, this.records, this.ops, this.facts, this.queue]) map.clear();
  }

  /** Takes in the next line of the file. Lines that contradict what is known (after damage) change nothing. */
  apply(line: JournalLine, span: LineSpan): void {
    switch (line.t) {
      case "header":
        this.logId = line.logId;
        this.lastSeq = Math.max(this.lastSeq, line.lastSeq);
        return;
      case "record":
        if (line.entry) this.#applyEntry(line.entry, line.seq, span);
        if (line.meta && line.seq > this.metaSeq) {
          this.meta = patchMeta(this.meta, line.meta);
          this.metaSeq = line.seq;
        }
        this.lastSeq = Math.max(this.lastSeq, line.seq);
        if (line.seq > this.ackedSeq) this.records.set(line.seq, span);
        return;
      case "meta":
        if (line.seq < this.metaSeq) return;
        this.meta = line.meta;
        this.metaSeq = line.seq;
        this.lastSeq = Math.max(this.lastSeq, line.seq);
        return;
      case "text":
        this.#applyText(line.entryId, line.at, line.text);
        return;
      case "op":
        this.ops.delete(line.op);
        this.ops.set(line.op, { status: line.status, ...(line.reason === undefined ? {} : { reason: line.reason }) });
        for (const op of this.ops.keys()) {
          if (this.ops.size <= limits.rememberedOps) break;
          this.ops.delete(op);
        }
        return;
      case "acked":
        this.#applyAcked(line.seq);
        return;
      case "fact":
        if (line.value === "") this.facts.delete(line.name);
        else this.facts.set(line.name, line.value);
        return;
      case "queued":
        this.queue.set(line.prompt.op, line.prompt);
        return;
      case "unqueued":
        this.queue.delete(line.op);
        return;
    }
  }

  #applyEntry(entry: WireEntry, seq: number, span: LineSpan): void {
    const known = this.entries.get(entry.id);
    if (known && known.seq > seq) return;
    this.entries.set(entry.id, {
      id: entry.id,
      index: entry.index,
      kind: entry.kind,
      status: entry.head.status,
      seq,
      span,
    });
    this.nextIndex = Math.max(this.nextIndex, entry.index + 1);
    if (isOpen(entry.head.status)) this.open.set(entry.id, { entry, recordTextLength: entry.head.textLength });
    else this.open.delete(entry.id);
  }

  #applyText(entryId: string, at: number, text: string): void {
    const open = this.open.get(entryId);
    if (!open) return;
    const length = streamText(open.entry).length;
    const merge = mergeDelta(length, at, text);
    if (merge.verdict === "applied") open.entry = withAppended(open.entry, merge.suffix);
  }

  #applyAcked(seq: number): void {
    for (let next = this.ackedSeq + 1; next <= seq; next++) this.records.delete(next);
    this.ackedSeq = Math.max(this.ackedSeq, seq);
  }

  /** Whether every record after `seq` is here, so that the hub can be given the next one and the next. */
  canResendAfter(seq: number): boolean {
    if (seq < this.ackedSeq || seq > this.lastSeq) return false;
    for (let next = seq + 1; next <= this.lastSeq; next++) if (!this.records.has(next)) return false;
    return true;
  }

  /** Entries in timeline order. */
  timeline(): EntryRef[] {
    return [...this.entries.values()].sort((a, b) => a.index - b.index);
  }
}

/** The stream text of an entry's body, "" for kinds that do not stream. */
export function streamText(entry: Pick<WireEntry, "kind" | "body">): string {
  const field = streamField(entry.kind);
  const text = field && (entry.body as Record<string, unknown> | null)?.[field];
  return typeof text === "string" ? text : "";
}

/** The entry with `text` appended to its stream text. The head stays: it speaks of the last record. */
export function withAppended(entry: WireEntry, text: string): WireEntry {
  const field = streamField(entry.kind);
  if (field === null) return entry;
  return { ...entry, body: { ...(entry.body as Record<string, unknown>), [field]: streamText(entry) + text } };
}

/** The entry as a record of its own: all its text in the body and counted in the head. */
export function asRecord(entry: WireEntry): WireEntry {
  return { ...entry, head: { ...entry.head, textLength: streamText(entry).length } };
}
