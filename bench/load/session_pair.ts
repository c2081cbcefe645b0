/** One session of the session benches: a host that says what its script says, and a viewer that checks what arrives. */
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { SessionTimeline, type TimelineMessage } from "@/protocol/log/mod.ts";
import type { HubAddress } from "../../tests/support/hub.ts";
import { within } from "../../tests/support/patience.ts";
import { type Message, openHubSocket } from "./hub_socket.ts";
import { type Faults, Ledger } from "./ledger.ts";
import { type RawSocket, textFrame } from "./raw_socket.ts";
import { entryIdOf, messageAt, openDelta, STEPS, stepsOf, stepsOfEntry, textAfter } from "./script.ts";

const RETRY_MIN_MS = 50;
const RETRY_JITTER_MS = 100;

/** Which hub each end is to use when it connects (again). */
export interface Route {
  host(): HubAddress;
  viewer(): HubAddress;
}

export interface PairOptions {
  route: Route;
  /** Told the time from a message's sending to its first arrival, in ms. */
  onLatency(ms: number, pair: SessionPair): void;
  /** Connections are lost on purpose: both ends come back, and the viewer shows what it got, as the app does. */
  isShaken?: boolean;
}

export class SessionPair implements AsyncDisposable {
  readonly sessionId = crypto.randomUUID();
  /** Connections that were lost. */
  losses = 0;
  /** What went wrong for good. */
  fault: Error | null = null;
  readonly #options: PairOptions;
  readonly #logId = crypto.randomUUID();
  readonly #ledger: Ledger;
  readonly #timeline: SessionTimeline | null;
  #generation = 0;
  #sent = 0;
  #sentAtMs: number[] = [];
  /** Epoch of the registration that holds now; null: none does. */
  #epoch: number | null = null;
  #ackedSeq = 0;
  #lastSeq = 0;
  #host: RawSocket | null = null;
  #viewer: RawSocket | null = null;
  #isViewerLive = false;
  #isDisposed = false;
  #onChange: (() => void) | null = null;

  constructor(options: PairOptions) {
    this.#options = options;
    this.#timeline = options.isShaken === true ? new SessionTimeline(this.sessionId) : null;
    this.#ledger = new Ledger((n) => {
      const sentMs = this.#sentAtMs[n];
      // What the host sent before it knew of the loss, and nobody has, is told again: the first time counts.
      if (sentMs !== undefined) options.onLatency(performance.now() - sentMs, this);
    });
  }

  /** Connects both ends. */
  async open(): Promise<void> {
    await this.#connectHost();
    await this.#until(() => this.#epoch !== null, "the registration of a host");
    await this.#connectViewer();
    await this.#until(() => this.#isViewerLive, "the attachment of a viewer");
  }

  /** Sends the next message of the script. */
  step(): void {
    const n = this.#sent++;
    this.#sentAtMs[n] = performance.now();
    const { json, seq } = messageAt(this.sessionId, this.#epoch ?? 0, n);
    if (seq !== null) this.#lastSeq = seq;
    if (this.#epoch !== null) this.#host?.send(textFrame(json));
  }

  /** Whether all is acknowledged and shown. */
  get isSettled(): boolean {
    if (this.#ackedSeq < this.#lastSeq || this.#epoch === null) return false;
    return this.#timeline === null ? this.#ledger.next >= this.#sent : this.#shownFaults().lost === 0;
  }

  /** What is wrong now that nothing more comes: of single messages, or, when it was shaken, of what is shown. */
  faults(): Faults {
    return this.#timeline === null ? this.#ledger.faults(this.#sent) : this.#shownFaults();
  }

  /** In messages' worth: an entry that is not shown counts all of its steps, text too short or too long those of its deltas. */
  #shownFaults(): Faults {
    const timeline = this.#timeline!;
    const faults: Faults = { lost: 0, duplicated: 0, reordered: 0 };
    const entries = Math.ceil(this.#sent / STEPS);
    const perDelta = textAfter(2).length;
    for (let index = timeline.firstIndex; index < entries; index++) {
      const steps = Math.min(STEPS, this.#sent - index * STEPS);
      const id = timeline.ids[index - timeline.firstIndex];
      if (id === undefined) {
        faults.lost += steps;
        continue;
      }
      const shown = timeline.textOf(id);
      const wanted = textAfter(steps);
      const status = steps === STEPS ? "completed" : "running";
      if (id !== entryIdOf(index)) faults.reordered++;
      else if (shown.length < wanted.length) faults.lost += Math.ceil((wanted.length - shown.length) / perDelta);
      else if (shown.length > wanted.length) faults.duplicated += Math.ceil((shown.length - wanted.length) / perDelta);
      else if (shown !== wanted) faults.reordered++;
      if (timeline.get(id)!.entry.head.status !== status) faults.lost++;
    }
    faults.duplicated += Math.max(0, timeline.ids.length - entries + timeline.firstIndex);
    return faults;
  }

  async #connectHost(): Promise<void> {
    await this.#connect("host", async () => {
      const socket = await openHubSocket(this.#options.route.host(), "relay", (message) => this.#hostReceives(message));
      this.#host = socket;
      socket.onLost = () => {
        this.#epoch = null;
        this.#lost(socket, () => this.#connectHost());
      };
      socket.send(textFrame(JSON.stringify({
        type: "register",
        protocolVersion: PROTOCOL_VERSION,
        sessionId: this.sessionId,
        runnerId: "bench",
        logId: this.#logId,
        lastSeq: this.#lastSeq,
        cwd: "/bench",
        sessionName: null,
        agent: { id: "custom", name: "Bench" },
        startedAt: Date.now(),
      })));
    });
  }

  async #connectViewer(): Promise<void> {
    await this.#connect("viewer", async () => {
      const { route } = this.#options;
      const socket = await openHubSocket(route.viewer(), "viewer", (message) => this.#viewerReceives(message));
      this.#viewer = socket;
      socket.onLost = () => {
        this.#isViewerLive = false;
        this.#timeline?.detach();
        this.#lost(socket, () => this.#connectViewer());
      };
      this.#attach();
    });
  }

  async #connect(end: string, open: () => Promise<void>): Promise<void> {
    for (;;) {
      if (this.#isDisposed) return;
      try {
        return await open();
      } catch (error) {
        if (this.#timeline === null) throw new Error(`the ${end} of a session cannot connect`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, RETRY_MIN_MS + Math.random() * RETRY_JITTER_MS));
      }
    }
  }

  #lost(socket: RawSocket, again: () => Promise<void>): void {
    this.losses++;
    if (this.#timeline === null) {
      this.fault ??= socket.fault;
      return;
    }
    setTimeout(() => again().catch((error) => this.fault = error), Math.random() * RETRY_JITTER_MS);
  }

  #attach(): void {
    this.#isViewerLive = false;
    const generation = ++this.#generation;
    const message = this.#timeline?.attach(generation) ??
      { type: "switch_session", sessionId: this.sessionId, generation };
    this.#viewer?.send(textFrame(JSON.stringify(message)));
  }

  #hostReceives(message: Message): void {
    if (message.type === "registered") {
      this.#epoch = message.epoch as number;
      this.#ackedSeq = Math.max(this.#ackedSeq, message.ackedSeq as number);
      this.#sendAgain(message.ackedSeq as number);
    } else if (message.type === "event_ack") this.#ackedSeq = message.seq as number;
    else if (message.type === "error") this.#refused(message, () => this.#host?.[Symbol.dispose]());
    this.#onChange?.();
  }

  /** After a registration: the records that are not committed, then the text that is in none. */
  #sendAgain(ackedSeq: number): void {
    const frames: Uint8Array[] = [];
    for (let seq = ackedSeq + 1; seq <= this.#lastSeq; seq++) {
      const n = Math.floor((seq - 1) / 2) * STEPS + (seq % 2 === 1 ? 0 : STEPS - 1);
      frames.push(textFrame(messageAt(this.sessionId, this.#epoch!, n).json));
    }
    const open = openDelta(this.sessionId, this.#epoch!, this.#sent);
    if (open !== null) frames.push(textFrame(open));
    if (frames.length > 0) this.#host?.send(...frames);
  }

  #viewerReceives(message: Message): void {
    switch (message.type) {
      case "event":
      case "delta":
        this.#ledger.live(...stepsOf(message));
        break;
      case "snapshot":
      case "changes":
        for (const entry of message.entries as { index: number; head: { status: string } }[]) {
          this.#ledger.caughtUp(...stepsOfEntry(entry));
        }
        this.#isViewerLive = message.more !== true;
        break;
      case "connected":
        if (message.verdict === "ahead") this.#isViewerLive = true;
        break;
      case "disconnected":
        this.#attach();
        return;
      case "error":
        this.#refused(message, () => this.#attach());
        return;
      default:
        return;
    }
    const effect = this.#timeline?.apply(message as unknown as TimelineMessage);
    if (effect?.needsAttach) this.#attach();
    this.#onChange?.();
  }

  #refused(message: Message, again: () => void): void {
    if (this.#timeline === null) this.fault ??= new Error(`the hub refused: ${JSON.stringify(message)}`);
    else setTimeout(again, RETRY_JITTER_MS);
  }

  async #until(check: () => boolean, what: string): Promise<void> {
    if (check()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onChange = () => {
      if (check() || this.fault !== null) resolve();
    };
    await within(promise, what);
    this.#onChange = null;
    if (this.fault !== null) throw this.fault;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await Promise.all([this.#host?.close(), this.#viewer?.close()]);
  }
}
