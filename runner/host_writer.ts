/**
 * The log as an agent adapter sees it: what the adapter writes goes through, and the fields of the meta that follow from it
 * (activity, attention, preview, title) are kept by the host.
 */
import {
  type Activity,
  type EntryBodies,
  type EntryKind,
  isOpen,
  limits,
  type MetaPatch,
  type SessionMeta,
} from "@/protocol/mod.ts";
import type { EntryDraft, SessionWriter } from "./agents/agent.ts";
import type { SessionLog } from "./session_log.ts";

/** Fields of the meta that only the host writes. */
const hostFields = ["activity", "attention", "lastActivityAt", "preview", "queue", "ended"] as const;
/** Fact in the journal: who gave the title, "prompt", "agent" or "user". A stronger source is not overwritten by a weaker one. */
const TITLE_BY = "titleBy";
const titleRank = { prompt: 1, agent: 2, user: 3 } as const;

/** What the host alone knows of a session's state. */
export interface HostPhase {
  isStarted: boolean;
  isTurnRunning: boolean;
  isEnded: boolean;
}

export class HostWriter implements SessionWriter {
  readonly #log: SessionLog;
  readonly #phase: () => HostPhase;
  readonly #now: () => number;
  readonly #onCompacted: () => void;
  /** What is seen of an agent without turns. */
  #observed = { isWorking: false, needsYou: false };

  /** `onCompacted` is called when the agent says that it has finished compacting its context: a turn may begin again. */
  constructor(log: SessionLog, phase: () => HostPhase, now: () => number, onCompacted: () => void) {
    this.#log = log;
    this.#phase = phase;
    this.#now = now;
    this.#onCompacted = onCompacted;
  }

  upsert<K extends EntryKind>(draft: EntryDraft<K>): void {
    this.#log.upsert(draft);
    const isClosed = !isOpen(draft.head.status);
    if (draft.kind === "interaction") this.refresh();
    if (isClosed && (draft.kind === "user_message" || draft.kind === "agent_message")) {
      const preview = firstLine((draft.body as EntryBodies["agent_message"]).text, 200);
      if (preview !== "") this.refresh({ preview, lastActivityAt: this.#now() });
    }
  }

  append(entryId: string, text: string): void {
    this.#log.append(entryId, text);
  }

  entry<K extends EntryKind>(entryId: string): EntryDraft<K> | undefined {
    return this.#log.entry<K>(entryId);
  }

  openEntryIds(): string[] {
    return this.#log.openEntryIds();
  }

  meta(): SessionMeta {
    return this.#log.meta();
  }

  /** A patch from the agent: its title counts unless a person gave one, and the host's own fields are not the agent's to set. */
  patchMeta(patch: MetaPatch): void {
    const { title, ...rest } = patch;
    for (const field of hostFields) delete rest[field];
    this.#log.patchMeta(rest);
    if (typeof title === "string") this.setTitle(title, "agent");
    if (rest.isCompacting === undefined) return;
    this.refresh();
    // Not from inside the agent's own call.
    if (!rest.isCompacting) queueMicrotask(this.#onCompacted);
  }

  /** What is seen of an agent that has no turns. */
  setObserved(state: { isWorking: boolean; needsYou: boolean }): void {
    this.#observed = { ...state };
    this.refresh();
  }

  /** Sets the title unless it came from somewhere that counts more. */
  setTitle(title: string, by: keyof typeof titleRank): void {
    const line = firstLine(title, limits.titleChars);
    const given = this.#log.journal.index.facts.get(TITLE_BY) as keyof typeof titleRank | undefined;
    if (line === "" || (given && titleRank[given] > titleRank[by])) return;
    if (by === "prompt" && given === "prompt") return;
    if (given !== by) this.#log.journal.append({ t: "fact", name: TITLE_BY, value: by });
    if (this.meta().title !== line) this.#log.patchMeta({ title: line });
  }

  /** The title when a person gave it, else null: what a registration says as the session's name. */
  givenTitle(): string | null {
    return this.#log.journal.index.facts.get(TITLE_BY) === "user" ? this.meta().title : null;
  }

  /** Brings activity and attention up to date, together with `also`; writes only what changed. */
  refresh(also: MetaPatch = {}): void {
    const meta = this.meta();
    const { isEnded } = this.#phase();
    const attention = this.#openInteractions() + (this.#observed.needsYou && !isEnded ? 1 : 0);
    const activity = this.#activity(attention, also.isCompacting ?? meta.isCompacting);
    const patch: MetaPatch = Object.fromEntries(
      Object.entries(also).filter(([name, value]) =>
        JSON.stringify(meta[name as keyof SessionMeta]) !== JSON.stringify(value)
      ),
    );
    if (attention !== meta.attention) patch.attention = attention;
    if (activity !== meta.activity) {
      patch.activity = activity;
      patch.lastActivityAt = this.#now();
    }
    this.#log.patchMeta(patch);
  }

  #openInteractions(): number {
    let count = 0;
    for (const { entry } of this.#log.journal.index.open.values()) if (entry.kind === "interaction") count++;
    return count;
  }

  #activity(attention: number, isCompacting: boolean): Activity {
    const phase = this.#phase();
    if (phase.isEnded) return "ended";
    if (attention > 0) return "waiting";
    if (!phase.isStarted) return "starting";
    return phase.isTurnRunning || isCompacting || this.#observed.isWorking ? "working" : "idle";
  }

  /** Closes what is still open, because whoever wrote it is gone. Text that arrived stays. */
  closeOpenEntries(): void {
    for (const id of this.openEntryIds()) {
      const draft = this.entry(id);
      if (!draft) continue;
      const head = {
        ...draft.head,
        attention: undefined,
        endedAt: this.#now(),
        // A tool that was cut off may have done half its work: that is a failure, not a wish.
        status: draft.kind === "tool_call" ? "failed" as const : "cancelled" as const,
      };
      const body = draft.kind === "interaction"
        ? { ...(draft.body as EntryBodies["interaction"]), answer: { outcome: "cancelled" as const, at: this.#now() } }
        : draft.body;
      this.upsert({ ...draft, head, body });
    }
  }

  /** Puts a notice into the timeline. */
  notice(level: EntryBodies["notice"]["level"], text: string, detail?: string): void {
    const at = this.#now();
    this.upsert({
      id: crypto.randomUUID(),
      kind: "notice",
      head: { status: "completed", startedAt: at, endedAt: at },
      body: { level, text, ...(detail === undefined || detail === "" ? {} : { detail }) },
    });
  }
}

/** The first line of a text that is not blank, trimmed and cut. */
export function firstLine(text: string, maxChars: number): string {
  // Only the beginning is looked at: the text may be megabytes.
  const line = text.slice(0, 16 * 1024).split("\n").map((part) => part.trim()).find((part) => part !== "") ?? "";
  return line.slice(0, maxChars);
}
