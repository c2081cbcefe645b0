/** A session host's connection to the hub: registers the log, feeds it acks, hands commands to the host and receipts back. */
import {
  type CommandResult,
  type DeliveredCommand,
  type HistoryPage,
  parseFrame,
  PROTOCOL_VERSION,
  type Register,
  relayServer,
  type SessionEnd,
} from "@/protocol/mod.ts";
import type { BackoffOptions } from "./backoff.ts";
import { type HubRefusal, HubSocket, type HubTarget } from "./hub_socket.ts";
import { errorText, type Log } from "./log.ts";
import type { SessionLog } from "./session_log.ts";

export interface RelayLinkOptions {
  sessionId: string;
  log: SessionLog;
  /** What the registration says of the session now; the link fills in the rest. */
  describe(): Omit<Register, "type" | "protocolVersion" | "sessionId" | "logId" | "lastSeq">;
  target(): HubTarget;
  /** Carries a command out and answers with its receipt. Delivery may repeat, so it must be idempotent by op. Never rejects. */
  onCommand?(command: DeliveredCommand): Promise<CommandResult>;
  /** The session was deleted on the hub. */
  onDeleted?(): void;
  onRefused?(refusal: HubRefusal, reason: string): void;
  write: Log;
  heartbeatMs?: number;
  backoff?: BackoffOptions;
}

export class RelayLink {
  readonly #options: RelayLinkOptions;
  readonly #socket: HubSocket;
  /** Said after the last record, on this and every later connection. */
  #end: SessionEnd | null = null;
  #isEndSent = false;
  readonly #endSent = Promise.withResolvers<void>();
  #isRegistered = false;
  #pauseTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: RelayLinkOptions) {
    this.#options = options;
    this.#socket = new HubSocket({
      path: "/ws/relay",
      target: options.target,
      heartbeatMs: options.heartbeatMs,
      backoff: options.backoff,
      handlers: {
        onOpen: () => this.#register(),
        onFrame: (data) => this.#onFrame(data),
        onClose: (reason) => this.#onClose(reason),
        onRefused: (refusal, reason) => this.#onRefused(refusal, reason),
      },
    });
  }

  get isRegistered(): boolean {
    return this.#isRegistered;
  }

  /** Connects; after a refusal or during a back-off, tries again at once. */
  connect(): void {
    this.#socket.restart();
  }

  /** Says that the session ended, once every record that is written by now is committed. */
  end(end: SessionEnd): void {
    this.#end = end;
    this.#sendEnd();
  }

  #register(): void {
    const { log, sessionId } = this.#options;
    const { logId, lastSeq } = log.journal.index;
    const register: Register = {
      type: "register",
      protocolVersion: PROTOCOL_VERSION,
      sessionId,
      logId,
      lastSeq,
      ...this.#options.describe(),
    };
    this.#socket.send(JSON.stringify(register));
  }

  #onFrame(data: unknown): void {
    const frame = parseFrame(relayServer, data);
    for (const error of frame.errors) {
      this.#options.write("warning", "the hub sent a frame that is not valid", { error });
    }
    for (const message of frame.messages) {
      try {
        this.#onMessage(message);
      } catch (error) {
        this.#options.write("error", `handling ${message.type} failed: ${errorText(error)}`);
        this.#socket.reconnect("an internal error");
        return;
      }
    }
  }

  #onMessage(message: ReturnType<typeof parseFrame<typeof relayServer>>["messages"][number]): void {
    const { log, write } = this.#options;
    switch (message.type) {
      case "registered":
        this.#onRegistered(message.epoch, message.ackedSeq);
        return;
      case "event_ack":
        // Of the registration before: its acknowledgements may still be on their way.
        if (!this.#isRegistered) return;
        if (!log.acked(message.seq)) {
          write("warning", "the hub acknowledged what was not sent", { seq: message.seq, lastSeq: log.lastSeq });
          this.#socket.reconnect("an acknowledgement that cannot be");
          return;
        }
        this.#sendEnd();
        return;
      case "command":
        this.#onCommand(message);
        return;
      case "load_history": {
        const { requestId, sessionId, before, limit } = message;
        const page: HistoryPage = {
          type: "history_page",
          requestId,
          sessionId,
          ...log.journal.history(before, limit),
        };
        this.#socket.send(JSON.stringify(page));
        return;
      }
      case "session_expired":
        this.#socket.close();
        this.#disconnected();
        this.#options.onDeleted?.();
        return;
      case "error":
        write("warning", `the hub reports ${message.code}: ${message.message}`, { field: message.field });
        if (message.code === "rate_limited" && message.retryAfterMs !== undefined) {
          this.#pause(message.retryAfterMs);
          return;
        }
        if (message.code !== "rate_limited" && message.ref === undefined) this.#socket.reconnect(message.code);
        return;
      case "going_away":
        write("info", `the hub is about to stop and closes this connection within ${message.inMs} ms`);
        return;
      case "ping":
        this.#socket.send('{"type":"pong"}');
        return;
      case "pong":
        return;
    }
  }

  /** The hub takes nothing more for now: sending stops, and goes on after a new registration from what it has committed. */
  #pause(ms: number): void {
    this.#disconnected();
    this.#pauseTimer = setTimeout(() => {
      this.#pauseTimer = null;
      this.#register();
    }, ms);
  }

  #onRegistered(epoch: number, ackedSeq: number): void {
    const { log, write } = this.#options;
    const sink = {
      send: (frame: string) => void this.#socket.send(frame),
      bufferedBytes: () => this.#socket.bufferedBytes(),
    };
    if (log.registered(epoch, ackedSeq, sink) === "restart") {
      write("warning", "journal and hub disagree; the log is begun anew", { ackedSeq, lastSeq: log.lastSeq });
      this.#register();
      return;
    }
    this.#isRegistered = true;
    this.#isEndSent = false;
    this.#socket.confirm();
    log.flush();
    this.#sendEnd();
  }

  #onCommand(command: DeliveredCommand): void {
    void this.#options.onCommand?.(command).then((result) => this.#socket.send(JSON.stringify(result)));
  }

  /** Said once everything before it is committed: the hub lets go of the log when it hears it. */
  #sendEnd(): void {
    const { log, sessionId } = this.#options;
    if (!this.#end || !this.#isRegistered) return;
    if (this.#isEndSent || !log.isSettled) return;
    this.#isEndSent = true;
    this.#socket.send(JSON.stringify({ type: "session_end", sessionId, end: this.#end }));
    this.#endSent.resolve();
  }

  /** Waits until the end was said; false when `signal` came first. */
  async endSent(signal: AbortSignal): Promise<boolean> {
    const { promise: aborted, resolve } = Promise.withResolvers<boolean>();
    if (signal.aborted) resolve(false);
    signal.addEventListener("abort", () => resolve(false), { once: true });
    return await Promise.race([this.#endSent.promise.then(() => true), aborted]);
  }

  /** Closes the connection after what was sent has left this machine (bounded). */
  async finish(): Promise<void> {
    await this.#socket.finish();
    this.#disconnected();
  }

  #onClose(reason: string): void {
    if (this.#isRegistered) this.#options.write("info", `connection to the hub is gone: ${reason}`);
    this.#disconnected();
  }

  #disconnected(): void {
    if (this.#pauseTimer !== null) clearTimeout(this.#pauseTimer);
    this.#pauseTimer = null;
    this.#isRegistered = false;
    this.#options.log.disconnected();
  }

  #onRefused(refusal: HubRefusal, reason: string): void {
    this.#options.write("error", `the hub refuses this session: ${refusal}`, { reason });
    if (refusal === "deleted") this.#options.onDeleted?.();
    else this.#options.onRefused?.(refusal, reason);
  }

  /** Closes the connection. The log stays the caller's. */
  close(): void {
    this.#socket.close();
    this.#disconnected();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
