/** A scripted session host on `/ws/relay`: keeps its records in memory as a journal would, resends after every break. */
import { type MetaPatch, PROTOCOL_VERSION, type WireEntry } from "@/protocol/mod.ts";
import { ProducerLog } from "@/protocol/log/mod.ts";
import type { HubAddress } from "./hub.ts";
import { Changes } from "./patience.ts";
import { bearer, type Message, openSocket, socketUrl } from "./socket.ts";

const RETRY_MS = 100;
/** Records joined into one frame. */
const FRAME_RECORDS = 200;

export interface ProducerOptions {
  sessionId?: string;
  runnerId?: string;
  /** Receives commands; default: each is reported as applied. */
  onCommand?: (command: Message) => { status: "applied" | "rejected"; reason?: string };
}

export class ScriptedProducer implements AsyncDisposable {
  readonly sessionId: string;
  /** Every record ever written, by seq − 1. */
  readonly records: ({ entry: WireEntry } | { meta: MetaPatch })[] = [];
  readonly commands: Message[] = [];
  readonly errors: Message[] = [];
  readonly counts = { connects: 0, registrations: 0 };
  epoch = -1;
  /** Code of the last close. */
  closeCode: number | null = null;
  #hub: HubAddress;
  readonly #options: ProducerOptions;
  readonly #changes = new Changes();
  readonly #log = new ProducerLog(0);
  readonly logId = crypto.randomUUID();
  #socket: WebSocket | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isDisposed = false;
  #nextIndex = 0;

  /** Connects at once, and again whenever its socket is lost. */
  constructor(hub: HubAddress, options: ProducerOptions = {}) {
    this.#hub = hub;
    this.#options = options;
    this.sessionId = options.sessionId ?? crypto.randomUUID();
    this.#connect();
  }

  get lastSeq(): number {
    return this.#log.lastSeq;
  }
  get ackedSeq(): number {
    return this.#log.ackedSeq;
  }

  until(check: () => boolean, what: string, timeoutMs?: number): Promise<true> {
    return this.#changes.until(() => check(), what, timeoutMs) as Promise<true>;
  }
  registered(): Promise<true> {
    return this.until(() => this.#log.isRegistered, "the registration of a scripted host");
  }
  /** Resolves when the hub has committed everything written so far. */
  settled(): Promise<true> {
    const seq = this.lastSeq;
    return this.until(() => this.#log.isRegistered && this.#log.ackedSeq >= seq, `the ack of seq ${seq}`);
  }

  /** Writes a closed message of the agent as a new entry. */
  say(text: string): WireEntry {
    const index = this.#nextIndex++;
    return this.write({
      id: `entry-${index}`,
      index,
      kind: "agent_message",
      head: { status: "completed", startedAt: 1, endedAt: 2, textLength: text.length },
      body: { text },
    });
  }

  /** Opens a message that grows by `delta`. */
  open(): WireEntry {
    const index = this.#nextIndex++;
    return this.write({
      id: `entry-${index}`,
      index,
      kind: "agent_message",
      head: { status: "running", startedAt: 1, textLength: 0 },
      body: { text: "" },
    });
  }

  write(entry: WireEntry): WireEntry {
    this.#append({ entry });
    return entry;
  }
  patchMeta(meta: MetaPatch): void {
    this.#append({ meta });
  }

  /** Appends text to an open entry; lost when the socket is not registered, as deltas are. */
  delta(entryId: string, at: number, text: string): void {
    if (!this.#log.isCaughtUp) return;
    this.#send({ type: "delta", sessionId: this.sessionId, epoch: this.epoch, entryId, at, text });
  }

  dropConnection(): void {
    this.#socket?.close();
  }

  /** Loses the connection and comes back by another way. */
  moveTo(hub: HubAddress): void {
    this.#hub = hub;
    this.dropConnection();
  }

  #append(record: { entry: WireEntry } | { meta: MetaPatch }): void {
    this.records.push(record);
    this.#log.append();
    this.#pump();
  }

  #pump(): void {
    for (;;) {
      const range = this.#log.takeSendable(() => 1_000, FRAME_RECORDS);
      if (range === null) return;
      const { sessionId, epoch } = this;
      this.#send(
        this.records.slice(range.from - 1, range.to).map((record, i) => ({
          type: "event",
          sessionId,
          epoch,
          seq: range.from + i,
          ...record,
        })),
      );
    }
  }

  #connect(): void {
    if (this.#isDisposed) return;
    this.counts.connects++;
    const socket = openSocket(socketUrl(this.#hub, "relay"), bearer(this.#hub.person.apiKey));
    this.#socket = socket;
    socket.onopen = () =>
      this.#send({
        type: "register",
        protocolVersion: PROTOCOL_VERSION,
        sessionId: this.sessionId,
        runnerId: this.#options.runnerId ?? "scripted-runner",
        logId: this.logId,
        lastSeq: this.#log.lastSeq,
        cwd: "/work",
        sessionName: null,
        agent: { id: "custom", name: "Scripted" },
        startedAt: 1,
      });
    socket.onerror = () => {};
    socket.onmessage = ({ data }) => {
      const value = JSON.parse(data);
      for (const message of Array.isArray(value) ? value : [value]) this.#take(message);
      this.#changes.notify();
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      this.closeCode = code;
      this.#log.disconnect();
      if (!this.#isDisposed && code !== 4001 && code !== 4009 && code !== 4013) {
        this.#retry = setTimeout(() => this.#connect(), RETRY_MS);
      }
      this.#changes.notify();
    };
  }

  #take(message: Message): void {
    switch (message.type) {
      case "registered":
        this.counts.registrations++;
        this.epoch = message.epoch;
        this.#log.register(message.ackedSeq);
        this.#pump();
        break;
      case "event_ack":
        this.#log.ack(message.seq);
        this.#pump();
        break;
      case "command": {
        this.commands.push(message);
        const outcome = this.#options.onCommand?.(message) ?? { status: "applied" };
        this.#send({ type: "command_result", op: message.op, ...outcome });
        break;
      }
      case "ping":
        this.#send({ type: "pong" });
        break;
      case "error":
        this.errors.push(message);
        break;
    }
  }

  #send(message: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    clearTimeout(this.#retry);
    const socket = this.#socket;
    if (socket === null || socket.readyState === WebSocket.CLOSED) return;
    await new Promise((resolve) => {
      socket.addEventListener("close", resolve);
      socket.close();
    });
  }
}
