/**
 * The viewer's side of the log: what a session looks like after the messages received so far. No I/O.
 *
 * Invariants: the cursor moves only with content; per entry the version with the highest seq wins; in live mode the next
 * seq must be the next one, anything else asks for a re-attach with the cursor; loaded entries are contiguous by index.
 */
import { type Delta, type Entry, isOpen, streamField } from "../entry.ts";
import { initialMeta, patchMeta, type SessionMeta } from "../meta.ts";
import type { Event } from "../relay.ts";
import type { Cursor } from "../shared.ts";
import type { Changes, Connected, MessagesPage, Snapshot, SwitchSession } from "../viewer.ts";
import { mergeDelta } from "./text.ts";

/** An entry and what deltas appended to its stream text since its last durable version. */
export interface TimelineEntry {
  entry: Entry;
  appended: string;
}

export type TimelineMessage = Connected | Snapshot | Changes | Event | Delta | MessagesPage;

/** What a message did, so that a view re-renders only that. */
export interface TimelineEffect {
  /** Everything may be different: a snapshot replaced it. */
  isReset: boolean;
  /** Ids of entries whose content changed or that are new. */
  changedIds: string[];
  /** How many entries were added at the two ends. */
  addedBefore: number;
  addedAfter: number;
  isMetaChanged: boolean;
  /** Send `attach()` again: the stream does not continue what is here. */
  needsAttach: boolean;
}

const noEffect = (): TimelineEffect => ({
  isReset: false,
  changedIds: [],
  addedBefore: 0,
  addedAfter: 0,
  isMetaChanged: false,
  needsAttach: false,
});

export class SessionTimeline {
  readonly sessionId: string;
  /** `attaching`: no verdict yet. `loading`: content follows. `live`: events continue the cursor. */
  #phase: "detached" | "attaching" | "loading" | "live" = "detached";
  #generation = 0;
  #cursor: Cursor | undefined;
  #entries = new Map<string, TimelineEntry>();
  /** Ids of the loaded entries; position is index − firstIndex. */
  #ids: string[] = [];
  #firstIndex = 0;
  /** Below this there is nothing to load: every log begins at 0, but a damaged journal may have lost its beginning. */
  #bottomIndex = 0;
  #meta: SessionMeta = initialMeta();
  /** Changed entries beyond a hole that a later chunk of the same resume fills. */
  #held: Entry[] = [];
  /** Live versions of entries that are not loaded: a page that was read before them must not win when it arrives. */
  #early = new Map<string, Entry>();

  constructor(sessionId: string) {
    this.sessionId = sessionId;
  }

  get phase(): "detached" | "attaching" | "loading" | "live" {
    return this.#phase;
  }
  get cursor(): Cursor | undefined {
    return this.#cursor;
  }
  get generation(): number {
    return this.#generation;
  }
  get meta(): SessionMeta {
    return this.#meta;
  }
  /** Ids of the loaded entries in timeline order. */
  get ids(): readonly string[] {
    return this.#ids;
  }
  /** Index of the first loaded entry: what `load_messages` names as `before`. */
  get firstIndex(): number {
    return this.#firstIndex;
  }
  /** Whether there are entries before the loaded ones, on the hub or on the runner. */
  get hasOlder(): boolean {
    return this.#firstIndex > this.#bottomIndex;
  }

  get(id: string): TimelineEntry | undefined {
    return this.#entries.get(id);
  }

  /** The stream text of an entry as it stands, appended deltas included; "" for kinds without one. */
  textOf(id: string): string {
    const found = this.#entries.get(id);
    return found ? streamTextOf(found) : "";
  }

  /** Begins an attach (first, after a break, or when an effect asked for it): the message to send. `generation` must be new. */
  attach(generation: number): SwitchSession {
    this.#phase = "attaching";
    this.#generation = generation;
    return {
      type: "switch_session",
      sessionId: this.sessionId,
      generation,
      ...(this.#cursor ? { cursor: this.#cursor } : {}),
    };
  }

  /** The socket is gone; what is shown stays. */
  detach(): void {
    this.#phase = "detached";
  }

  apply(message: TimelineMessage): TimelineEffect {
    if (message.sessionId !== this.sessionId) return noEffect();
    switch (message.type) {
      case "event":
        return this.#applyEvent(message);
      case "delta":
        return this.#applyDelta(message);
    }
    if (message.generation !== this.#generation) return noEffect();
    switch (message.type) {
      case "connected":
        return this.#applyConnected(message);
      case "snapshot":
        return this.#applySnapshot(message);
      case "changes":
        return this.#applyChanges(message);
      case "session_messages_page":
        return this.#applyPage(message);
    }
  }

  #applyConnected(message: Connected): TimelineEffect {
    if (this.#phase !== "attaching") return noEffect();
    this.#phase = message.verdict === "ahead" ? "live" : "loading";
    return noEffect();
  }

  #applySnapshot(message: Snapshot): TimelineEffect {
    if (this.#phase !== "loading") return noEffect();
    this.#entries.clear();
    this.#ids = [];
    this.#held = [];
    this.#early.clear();
    for (const entry of message.entries) {
      this.#entries.set(entry.id, { entry, appended: "" });
      this.#ids.push(entry.id);
    }
    this.#firstIndex = message.entries[0]?.index ?? message.oldestIndex;
    this.#bottomIndex = 0;
    this.#meta = message.meta;
    this.#cursor = message.cursor;
    this.#phase = "live";
    return {
      ...noEffect(),
      isReset: true,
      isMetaChanged: true,
      changedIds: [...this.#ids],
      addedAfter: this.#ids.length,
    };
  }

  #applyChanges(message: Changes): TimelineEffect {
    if (this.#phase !== "loading") return noEffect();
    const effect = noEffect();
    // By index, not by seq: an older new entry that changed again later comes after a newer one.
    for (const entry of [...message.entries].sort((a, b) => a.index - b.index)) this.#put(entry, effect, message.more);
    if (!message.more && this.#held.length > 0) effect.needsAttach = true;
    if (effect.needsAttach) return this.#forget(effect);
    if (message.meta) {
      this.#meta = message.meta;
      effect.isMetaChanged = true;
    }
    this.#cursor = message.cursor;
    if (!message.more) this.#phase = "live";
    return effect;
  }

  #applyEvent(event: Event): TimelineEffect {
    const effect = noEffect();
    const cursor = this.#cursor;
    if (this.#phase !== "live" || !cursor) return effect;
    if (event.epoch === cursor.epoch && event.seq <= cursor.seq) return effect;
    if (event.epoch !== cursor.epoch || event.seq !== cursor.seq + 1) return this.#askAgain(effect);
    if (event.entry) this.#put({ ...event.entry, seq: event.seq }, effect, false);
    if (effect.needsAttach) return this.#forget(effect);
    if (event.meta) {
      this.#meta = patchMeta(this.#meta, event.meta);
      effect.isMetaChanged = true;
    }
    this.#cursor = { epoch: cursor.epoch, seq: event.seq };
    return effect;
  }

  #applyDelta(delta: Delta): TimelineEffect {
    const effect = noEffect();
    if (this.#phase !== "live" || !this.#cursor) return effect;
    if (delta.epoch !== this.#cursor.epoch) return this.#askAgain(effect);
    const found = this.#entries.get(delta.entryId);
    // Not loaded (it lies before the loaded pages), or closed by a record that already held this text.
    if (!found || !isOpen(found.entry.head.status)) return effect;
    const merge = mergeDelta(streamTextOf(found).length, delta.at, delta.text);
    if (merge.verdict === "gap") return this.#askAgain(effect);
    if (merge.verdict === "applied") {
      this.#entries.set(delta.entryId, { entry: found.entry, appended: found.appended + merge.suffix });
      effect.changedIds.push(delta.entryId);
    }
    return effect;
  }

  #applyPage(message: MessagesPage): TimelineEffect {
    const effect = noEffect();
    if (message.before !== undefined && message.before !== this.#firstIndex) return effect;
    if (message.entries.length === 0 && !message.hasMore) this.#bottomIndex = this.#firstIndex;
    const older = message.entries.filter((entry) => entry.index < this.#firstIndex);
    const newest = older.at(-1);
    // A page must end where the loaded entries begin; anything else answers an older request.
    if (!newest || newest.index !== this.#firstIndex - 1) return effect;
    this.#ids = [...older.map((entry) => entry.id), ...this.#ids];
    for (const entry of older) {
      const early = this.#early.get(entry.id);
      this.#early.delete(entry.id);
      this.#entries.set(entry.id, { entry: early && early.seq > entry.seq ? early : entry, appended: "" });
    }
    this.#firstIndex = older[0]!.index;
    if (!message.hasMore) this.#bottomIndex = this.#firstIndex;
    effect.addedBefore = older.length;
    effect.changedIds = older.map((entry) => entry.id);
    return effect;
  }

  #put(entry: Entry, effect: TimelineEffect, mayFollow: boolean): void {
    const known = this.#entries.get(entry.id);
    if (known) {
      if (known.entry.seq >= entry.seq) return;
      this.#entries.set(entry.id, { entry, appended: "" });
      effect.changedIds.push(entry.id);
      return;
    }
    if (entry.index < this.#firstIndex) { // lies before the loaded pages: loaded on demand
      if (this.#phase === "live") this.#early.set(entry.id, entry);
      return;
    }
    const end = this.#firstIndex + this.#ids.length;
    if (entry.index === end) {
      this.#entries.set(entry.id, { entry, appended: "" });
      this.#ids.push(entry.id);
      effect.changedIds.push(entry.id);
      effect.addedAfter++;
      const next = this.#held.findIndex((held) => held.index === end + 1);
      if (next >= 0) this.#put(this.#held.splice(next, 1)[0]!, effect, mayFollow);
    } else if (entry.index > end && mayFollow) this.#held.push(entry);
    else effect.needsAttach = true; // a hole, or another id at a known place: not the log that we know
  }

  /** The stream does not continue the cursor: nothing more is applied until attach() is called. */
  #askAgain(effect: TimelineEffect): TimelineEffect {
    this.#phase = "detached";
    return { ...effect, needsAttach: true };
  }

  /** What is here cannot be continued at all: the next attach asks for a snapshot. */
  #forget(effect: TimelineEffect): TimelineEffect {
    this.#cursor = undefined;
    this.#held = [];
    return this.#askAgain(effect);
  }
}

function streamTextOf({ entry, appended }: TimelineEntry): string {
  const field = streamField(entry.kind);
  if (field === null) return "";
  const base = (entry.body as Record<string, unknown> | null)?.[field];
  return (typeof base === "string" ? base : "") + appended;
}
