/** One session as the page shows it: the pure timeline of `protocol/log`, its socket and its outgoing commands, as signals. */
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { CommandStatus, SessionCommand } from "@/protocol/command.ts";
import { UserMessageBody } from "@/protocol/entry.ts";
import { limits } from "@/protocol/limits.ts";
import { SessionTimeline, type TimelineEffect, type TimelineEntry } from "@/protocol/log/timeline.ts";
import { initialMeta, type SessionMeta } from "@/protocol/meta.ts";
import type { Activity, ErrorMessage, SessionEnd, SessionInfo } from "@/protocol/shared.ts";
import { viewerServer } from "@/protocol/viewer.ts";
import type { MessageOf } from "@/protocol/frame.ts";
import { hubSocketUrl, LiveSocket, probeHub, type SocketState } from "./live_socket.ts";
import { Outbox, type OutgoingCommand, type TextStore } from "./outbox.ts";

/** Which entries there are; the entries themselves are a signal each. */
export interface TimelineRows {
  ids: readonly string[];
  /** Index of the first id. */
  firstIndex: number;
  hasOlder: boolean;
  /** Counts up when a snapshot replaced everything. */
  resets: number;
}

/** `loading`: no content yet. `gone`: deleted, or not there for this user. */
export type SessionPhase = { kind: "loading" } | { kind: "ready" } | { kind: "gone"; reason: string };

/** How long the hub gets before a refused or unanswered request is made again. */
const RETRY_MS = 1_500;
/** How long an applied command stays known, so that its ghost does not vanish before its entry is there. */
const APPLIED_LINGER_MS = 2_000;
const SEEN_REPORT_MS = 1_000;

type ViewerMessage = MessageOf<typeof viewerServer>;

export class SessionStore {
  readonly sessionId: string;
  readonly #timeline: SessionTimeline;
  readonly #entries = new Map<string, Signal<TimelineEntry | undefined>>();
  readonly #outbox: Outbox;
  readonly #socket: LiveSocket<typeof viewerServer>;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #listeners = new AbortController();
  #generation = 0;
  #dirty = new Set<string>();
  #effect: { rows: boolean; meta: boolean } = { rows: false, meta: false };
  #isFlushPlanned = false;
  #isSeenPlanned = false;
  #seenReported = -1;
  #resets = 0;

  readonly #connection = signal<SocketState>({ kind: "connecting" });
  readonly #phase = signal<SessionPhase>({ kind: "loading" });
  readonly #info = signal<SessionInfo | null>(null);
  readonly #meta = signal<SessionMeta>(initialMeta());
  readonly #rows = signal<TimelineRows>({ ids: [], firstIndex: 0, hasOlder: false, resets: 0 });
  readonly #isLoadingOlder = signal(false);
  readonly #olderProblem = signal<string | null>(null);
  readonly #outgoing = signal<OutgoingCommand[]>([]);
  readonly #inbox = signal<ReadonlyMap<string, CommandStatus>>(new Map());
  readonly #landedOps = signal<ReadonlySet<string>>(new Set());
  readonly #pending = signal<readonly string[]>([]);
  /** How it ended: by its host's word, or by the hub's where the host never said one. */
  readonly ended: ReadonlySignal<SessionEnd | null> = computed(() =>
    this.#meta.value.ended ?? this.#info.value?.ended ?? null
  );
  readonly activity: ReadonlySignal<Activity> = computed(() =>
    this.#info.value?.ended ? "ended" : this.#meta.value.activity
  );
  /** A prompt that the runner refused: the composer takes its text back and clears this. */
  readonly returned: Signal<OutgoingCommand | null> = signal(null);

  constructor(sessionId: string, store: TextStore | null) {
    this.sessionId = sessionId;
    this.#timeline = new SessionTimeline(sessionId);
    this.#outbox = new Outbox(store, () => this.#outgoing.value = this.#outbox.items);
    this.#outgoing.value = this.#outbox.items;
    this.#socket = new LiveSocket({
      url: hubSocketUrl("/ws/viewer"),
      schemas: viewerServer,
      probe: probeHub,
      onMessage: (message) => this.#receive(message),
      onOpen: () => this.#opened(),
      onState: (state) => this.#connectionChanged(state),
    });
  }

  get connection(): ReadonlySignal<SocketState> {
    return this.#connection;
  }
  get phase(): ReadonlySignal<SessionPhase> {
    return this.#phase;
  }
  get info(): ReadonlySignal<SessionInfo | null> {
    return this.#info;
  }
  get meta(): ReadonlySignal<SessionMeta> {
    return this.#meta;
  }
  get rows(): ReadonlySignal<TimelineRows> {
    return this.#rows;
  }
  get isLoadingOlder(): ReadonlySignal<boolean> {
    return this.#isLoadingOlder;
  }
  /** Why the entries before the first loaded one cannot be had now: their runner is offline. */
  get olderProblem(): ReadonlySignal<string | null> {
    return this.#olderProblem;
  }
  /** This tab's commands to this session that are not settled, or were refused and not yet read. */
  readonly outgoing: ReadonlySignal<OutgoingCommand[]> = computed(() =>
    this.#outgoing.value.filter((item) => item.sessionId === this.sessionId)
  );
  /** Commands of any device that wait for the runner, by op. */
  get inbox(): ReadonlySignal<ReadonlyMap<string, CommandStatus>> {
    return this.#inbox;
  }
  /** Ops whose user message is in the timeline. */
  get landedOps(): ReadonlySignal<ReadonlySet<string>> {
    return this.#landedOps;
  }
  /** Ids of the loaded interactions that wait for a person, oldest first. */
  get pending(): ReadonlySignal<readonly string[]> {
    return this.#pending;
  }

  /** The signal of one entry; changes only when that entry does. */
  entry(id: string): ReadonlySignal<TimelineEntry | undefined> {
    let found = this.#entries.get(id);
    if (!found) this.#entries.set(id, found = signal(this.#timeline.get(id)));
    return found;
  }

  start(): void {
    document.addEventListener("visibilitychange", () => this.#reportSeen(), { signal: this.#listeners.signal });
    this.#socket.start();
  }

  dispose(): void {
    this.#listeners.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#socket.dispose();
  }

  reconnectNow(): void {
    this.#socket.wake();
  }

  /** Asks the session to do something; kept until the hub has it. Throws a RangeError when too much waits already. */
  run(command: SessionCommand): string {
    const op = this.#outbox.add(this.sessionId, command);
    this.#socket.send({ type: "command", op, sessionId: this.sessionId, command });
    return op;
  }

  /** Removes a settled command from what is shown. */
  forget(op: string): void {
    this.#outbox.forget(op);
  }

  /** Asks for the page before the first loaded entry, once at a time; after a failure only when it is `wanted` by a person. */
  loadOlder(wanted = false): void {
    if (wanted) this.#olderProblem.value = null;
    if (this.#olderProblem.value !== null) return;
    if (this.#isLoadingOlder.value || !this.#timeline.hasOlder || this.#timeline.phase !== "live") return;
    this.#isLoadingOlder.value = this.#socket.send({
      type: "load_messages",
      sessionId: this.sessionId,
      generation: this.#timeline.generation,
      before: this.#timeline.firstIndex,
      limit: limits.pageEntries,
    });
  }

  #opened(): void {
    this.#attach();
    this.#resend();
  }

  #attach(): void {
    this.#isLoadingOlder.value = false;
    this.#olderProblem.value = null;
    this.#socket.send(this.#timeline.attach(++this.#generation));
    this.#seenReported = -1;
    this.#reportSeen();
  }

  #resend(): void {
    for (const { op, sessionId, command } of this.#outbox.unsent()) {
      this.#socket.send({ type: "command", op, sessionId, command });
    }
  }

  #connectionChanged(state: SocketState): void {
    this.#connection.value = state;
    if (state.kind !== "live") {
      this.#timeline.detach();
      this.#isLoadingOlder.value = false;
    }
    if (state.kind === "stopped" && state.reason === "deleted") {
      this.#phase.value = { kind: "gone", reason: "This session was deleted." };
    }
  }

  #receive(message: ViewerMessage): void {
    switch (message.type) {
      case "connected":
        if (message.sessionId !== this.sessionId || message.generation !== this.#generation) return;
        this.#info.value = message.info;
        this.#inbox.value = new Map(message.inbox.map((status) => [status.op, status]));
        for (const status of message.inbox) this.#outbox.receipt(status);
        this.#applied(this.#timeline.apply(message));
        return;
      case "snapshot":
      case "changes":
      case "event":
      case "delta":
        return this.#applied(this.#timeline.apply(message));
      case "session_messages_page":
        if (message.generation !== this.#generation) return;
        this.#isLoadingOlder.value = false;
        // Even a page without entries tells what lies before.
        this.#effect.rows = true;
        return this.#applied(this.#timeline.apply(message));
      case "session_status":
        if (message.session.sessionId !== this.sessionId) return;
        // Its host is back, and with it the journal.
        if (this.#olderProblem.value !== null && message.session.isActive && !this.#info.value?.isActive) {
          this.loadOlder(true);
        }
        this.#info.value = message.session;
        return;
      case "command_status":
        return this.#commandStatus(message);
      case "disconnected":
        if (message.sessionId !== this.sessionId) return;
        if (message.code === "lagging") return this.#attach();
        this.#phase.value = { kind: "gone", reason: message.reason };
        return;
      case "error":
        return this.#failed(message);
    }
  }

  #applied(effect: TimelineEffect): void {
    for (const id of effect.changedIds) this.#dirty.add(id);
    if (effect.isReset) {
      this.#resets++;
      for (const id of this.#entries.keys()) this.#dirty.add(id);
    }
    if (effect.isReset || effect.addedBefore || effect.addedAfter) this.#effect.rows = true;
    if (effect.isMetaChanged) this.#effect.meta = true;
    if (effect.needsAttach) this.#attach();
    const hasContent = this.#timeline.phase === "live";
    if (hasContent && this.#phase.value.kind === "loading") this.#flush();
    else if (this.#dirty.size > 0 || this.#effect.rows || this.#effect.meta) this.#planFlush();
  }

  /** Many deltas may come in one frame of the screen; what they changed is shown once. */
  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    if (document.visibilityState === "visible") requestAnimationFrame(() => this.#flush());
    else this.#after(250, () => this.#flush());
  }

  #flush(): void {
    this.#isFlushPlanned = false;
    const timeline = this.#timeline;
    const landed: string[] = [];
    let isPendingChanged = this.#effect.rows;
    for (const id of this.#dirty) {
      const now = timeline.get(id);
      if (now?.entry.kind === "user_message") {
        const body = UserMessageBody.safeParse(now.entry.body);
        if (body.data?.op) landed.push(body.data.op);
      }
      if (now?.entry.kind === "interaction") isPendingChanged = true;
      const shown = this.#entries.get(id);
      if (shown) shown.value = now;
      if (!now) this.#entries.delete(id);
    }
    this.#dirty.clear();
    if (landed.length > 0) this.#landedOps.value = new Set([...this.#landedOps.value, ...landed]);
    if (this.#effect.rows) {
      const { ids, firstIndex, hasOlder } = timeline;
      this.#rows.value = { ids: [...ids], firstIndex, hasOlder, resets: this.#resets };
    }
    if (isPendingChanged) {
      this.#pending.value = timeline.ids.filter((id) => {
        const entry = timeline.get(id)?.entry;
        return entry?.kind === "interaction" && entry.head.status === "pending";
      });
    }
    if (this.#effect.meta) this.#meta.value = timeline.meta;
    this.#effect = { rows: false, meta: false };
    if (timeline.phase === "live" && this.#phase.value.kind === "loading") this.#phase.value = { kind: "ready" };
    this.#planSeen();
  }

  #commandStatus(status: CommandStatus): void {
    if (status.sessionId === undefined || status.sessionId === this.sessionId) {
      const inbox = new Map(this.#inbox.value);
      if (status.status === "accepted") inbox.set(status.op, { ...inbox.get(status.op), ...status });
      else inbox.delete(status.op);
      this.#inbox.value = inbox;
    }
    const settled = this.#outbox.receipt(status);
    if (settled?.status === "applied") this.#after(APPLIED_LINGER_MS, () => this.#outbox.forget(settled.op));
    else if (settled && settled.status !== "accepted") this.#refused(settled);
  }

  #refused(item: OutgoingCommand): void {
    if (item.command.kind === "prompt" && item.sessionId === this.sessionId) this.returned.value = item;
  }

  #failed(error: ErrorMessage): void {
    const isRetryable = error.code === "unavailable" || error.code === "rate_limited";
    const item = this.#outgoing.value.find((outgoing) => outgoing.op === error.ref);
    if (item) {
      if (isRetryable) return this.#after(RETRY_MS, () => this.#resend());
      const settled = this.#outbox.receipt({ op: item.op, status: "rejected", reason: error.message });
      if (settled) this.#refused(settled);
      return;
    }
    const wasLoadingOlder = this.#isLoadingOlder.value;
    this.#isLoadingOlder.value = false;
    if (wasLoadingOlder && this.#timeline.phase === "live" && error.ref === String(this.#generation)) {
      this.#olderProblem.value = error.message;
      return;
    }
    const isMine = error.sessionId === undefined || error.sessionId === this.sessionId;
    if (error.code === "not_found" && isMine && this.#timeline.phase !== "live") {
      this.#phase.value = { kind: "gone", reason: "There is no such session, or it is not yours." };
    } else if (isRetryable && this.#timeline.phase !== "live") this.#after(RETRY_MS, () => this.#attach());
    else console.warn(`perch: the hub reports ${error.code}: ${error.message}`);
  }

  #planSeen(): void {
    if (this.#isSeenPlanned) return;
    this.#isSeenPlanned = true;
    this.#after(SEEN_REPORT_MS, () => {
      this.#isSeenPlanned = false;
      this.#reportSeen();
    });
  }

  /** Tells the hub whether someone looks, and how far they have seen, when either changed. */
  #reportSeen(): void {
    const isVisible = document.visibilityState === "visible";
    const seenSeq = isVisible ? this.#timeline.cursor?.seq : undefined;
    const key = isVisible ? seenSeq ?? 0 : -2;
    if (key === this.#seenReported) return;
    const message = { type: "viewer_visibility", visible: isVisible };
    if (this.#socket.send(seenSeq === undefined ? message : { ...message, seenSeq })) this.#seenReported = key;
  }

  #after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}
