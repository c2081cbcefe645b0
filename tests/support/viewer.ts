/** A scripted viewer: what a browser tab does on `/ws/viewer`, with the very timeline that the app shows. */
import {
  type CommandStatus,
  type ErrorMessage,
  limits,
  type MessageOf,
  parseFrame,
  type SessionCommand,
  type SessionInfo,
  viewerServer,
} from "@/protocol/mod.ts";
import { SessionTimeline } from "@/protocol/log/mod.ts";
import type { HubAddress, Person } from "./hub.ts";
import { Changes } from "./patience.ts";
import { openSocket, socketUrl } from "./socket.ts";

type ViewerMessage = MessageOf<typeof viewerServer>;

/** How soon it tries again after its socket was lost or a request refused; a browser waits longer. */
const RETRY_MS = 100;

/** What a viewer shows of one entry. */
export interface ShownEntry {
  id: string;
  index: number;
  seq: number;
  kind: string;
  head: unknown;
  body: unknown;
  /** The stream text as shown: of the record and what deltas appended. */
  text: string;
}

export class ScriptedViewer implements AsyncDisposable {
  readonly sessionId: string;
  readonly timeline: SessionTimeline;
  info: SessionInfo | null = null;
  /** `missing`: the hub says that there is no such session for this person. */
  state: "attaching" | "missing" | "deleted" | "unauthorized" = "attaching";
  readonly statuses = new Map<string, CommandStatus>();
  readonly errors: ErrorMessage[] = [];
  /** How often it connected, attached, and was given everything anew. */
  readonly counts = { connects: 0, attaches: 0, snapshots: 0, resumes: 0, unreadable: 0 };
  readonly #hub: HubAddress;
  readonly #headers: Record<string, string>;
  readonly #changes = new Changes();
  #socket: WebSocket | null = null;
  #generation = 0;
  #isLoadingOlder = false;
  #wantsAll = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isDisposed = false;

  /** Connects at once, and again whenever its socket is lost. */
  constructor(hub: HubAddress, sessionId: string, person: Person = hub.person) {
    this.#hub = hub;
    this.sessionId = sessionId;
    this.timeline = new SessionTimeline(sessionId);
    this.#headers = { cookie: person.cookie, origin: hub.url };
    this.#connect();
  }

  /** Resolves once `check` holds; it is asked after every frame. */
  until(check: () => boolean, what: string, timeoutMs?: number): Promise<true> {
    return this.#changes.until(
      () => check(),
      `${what} (viewer at ${JSON.stringify(this.timeline.cursor)}, ${this.timeline.phase})`,
      timeoutMs,
    ) as Promise<true>;
  }

  /** Attached and shown up to now. */
  live(): Promise<true> {
    return this.until(() => this.timeline.phase === "live", "a live viewer");
  }

  /** Loses the connection, as a phone in a tunnel does; it comes back by itself. */
  dropConnection(): void {
    this.#socket?.close();
  }

  /** Loads all pages down to the oldest entry, now and after each later snapshot. */
  async loadAll(): Promise<void> {
    this.#wantsAll = true;
    this.#loadOlder();
    await this.until(() => this.timeline.phase === "live" && !this.timeline.hasOlder, "the oldest page");
  }

  /** Sends a command and resolves with its last status: applied, rejected or expired. */
  async command(command: SessionCommand, op = crypto.randomUUID() as string): Promise<CommandStatus> {
    await this.live();
    this.#send({ type: "command", op, sessionId: this.sessionId, command });
    await this.until(
      () => (this.statuses.get(op)?.status ?? "accepted") !== "accepted",
      `the receipt of ${command.kind}`,
    );
    return this.statuses.get(op)!;
  }

  /** The timeline as shown now, oldest first. */
  shown(): ShownEntry[] {
    return this.timeline.ids.map((id) => {
      const { id: entryId, index, seq, kind, head, body } = this.timeline.get(id)!.entry;
      return { id: entryId, index, seq, kind, head, body, text: this.timeline.textOf(id) };
    });
  }

  #connect(): void {
    if (this.#isDisposed) return;
    this.counts.connects++;
    const socket = openSocket(socketUrl(this.#hub, "viewer"), this.#headers);
    this.#socket = socket;
    socket.onopen = () => this.#attach();
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onerror = () => {};
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      this.timeline.detach();
      this.#isLoadingOlder = false;
      if (code === 4001) this.state = "unauthorized";
      if (this.state === "attaching") this.#later(() => this.#connect());
      this.#changes.notify();
    };
  }

  #later(action: () => void): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (!this.#isDisposed) action();
    }, RETRY_MS);
  }

  #attach(): void {
    this.counts.attaches++;
    this.#isLoadingOlder = false;
    this.#send(this.timeline.attach(++this.#generation));
  }

  #send(message: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #loadOlder(): void {
    if (!this.#wantsAll || this.#isLoadingOlder || !this.timeline.hasOlder || this.timeline.phase !== "live") return;
    this.#isLoadingOlder = true;
    this.#send({
      type: "load_messages",
      sessionId: this.sessionId,
      generation: this.timeline.generation,
      before: this.timeline.firstIndex,
      limit: limits.pageEntries,
    });
  }

  #receive(data: unknown): void {
    const frame = parseFrame(viewerServer, data);
    this.counts.unreadable += frame.errors.length + frame.unknownTypes;
    for (const message of frame.messages) this.#take(message);
    this.#loadOlder();
    this.#changes.notify();
  }

  #take(message: ViewerMessage): void {
    switch (message.type) {
      case "ping":
        this.#send({ type: "pong" });
        return;
      case "connected":
        if (message.generation !== this.#generation) return;
        this.info = message.info;
        if (message.verdict === "snapshot") this.counts.snapshots++;
        else this.counts.resumes++;
        break;
      case "session_messages_page":
        if (message.generation === this.#generation) this.#isLoadingOlder = false;
        break;
      case "session_status":
        this.info = message.session;
        return;
      case "command_status":
        this.statuses.set(message.op, message);
        return;
      case "disconnected":
        if (message.code === "session_deleted") this.state = "deleted";
        else this.#attach();
        return;
      case "error":
        this.errors.push(message);
        if (message.ref === String(this.#generation) && message.code === "not_found") this.state = "missing";
        else if (message.ref === String(this.#generation)) this.#later(() => this.#attach());
        return;
      case "going_away":
      case "pong":
        return;
    }
    if (this.timeline.apply(message).needsAttach) this.#attach();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    clearTimeout(this.#retry);
    const socket = this.#socket;
    if (socket === null || socket.readyState === WebSocket.CLOSED) return;
    await new Promise((resolve) => {
      socket.onclose = resolve;
      socket.close();
    });
  }
}
