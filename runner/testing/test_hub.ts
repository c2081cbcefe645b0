/**
 * The smallest hub that a runner can be tested against: it keeps each session's log in memory by the rules of the wire, refuses a
 * gap, and can be told to drop connections.
 */
import assert from "node:assert/strict";
import {
  type CommandResult,
  type DeliveredCommand,
  initialMeta,
  type MessageOf,
  parseFrame,
  patchMeta,
  type Register,
  type RegisterRunner,
  relayClient,
  runnerClient,
  type SessionCommand,
  type SessionEnd,
  type SessionMeta,
  type WireEntry,
} from "@/protocol/mod.ts";
import { mergeDelta } from "@/protocol/log/mod.ts";
import { streamText, withAppended } from "../journal_index.ts";

/** A bounded wait for an event: fails the test after 20 s. */
const WAIT_MS = 20_000;

export class TestSession {
  logId = "";
  epoch = 0;
  /** Received, in order. */
  seq = 0;
  /** Acknowledged. */
  acked = 0;
  meta: SessionMeta = initialMeta();
  register: Register | null = null;
  end: SessionEnd | null = null;
  readonly entries = new Map<string, WireEntry>();
  /** How many records arrived that were there already. */
  duplicates = 0;
  registrations = 0;
  restarts = 0;
  socket: WebSocket | null = null;

  /** Texts by entry id, in timeline order. */
  texts(): [string, string][] {
    return [...this.entries.values()].sort((a, b) => a.index - b.index).map((entry) => [entry.id, streamText(entry)]);
  }
}

export interface TestHubOptions {
  /** Called for each frame of a session host; true drops the connection before the frame is looked at. */
  dropBefore?(): boolean;
  /** As dropBefore, after the frame was taken in and before it is acknowledged. */
  dropAfter?(): boolean;
  /** Asked for each upgrade: an answer other than null refuses it with that status. */
  refuse?(request: Request): number | null;
  fetch?(request: Request): Promise<Response> | Response;
}

export class TestHub {
  readonly sessions = new Map<string, TestSession>();
  readonly receipts = new Map<string, CommandResult[]>();
  readonly killed = new Map<string, SessionEnd>();
  readonly answers = new Map<string, MessageOf<typeof runnerClient>>();
  runner: RegisterRunner | null = null;
  runnerSocket: WebSocket | null = null;
  runnerRegistrations = 0;
  existingSessions: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #options: TestHubOptions;
  readonly #sockets = new Set<WebSocket>();
  readonly #watchers = new Set<() => void>();
  #epoch = 0;

  constructor(options: TestHubOptions = {}) {
    this.#options = options;
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => this.#handle(request));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  session(sessionId: string): TestSession {
    let session = this.sessions.get(sessionId);
    if (!session) this.sessions.set(sessionId, session = new TestSession());
    return session;
  }

  #handle(request: Request): Response | Promise<Response> {
    const { pathname } = new URL(request.url);
    const status = this.#options.refuse?.(request) ?? null;
    if (status !== null) return new Response("refused", { status });
    if (pathname === "/ws/relay" || pathname === "/ws/runner") {
      if (request.headers.get("authorization") !== "Bearer test-key") return new Response("no", { status: 401 });
      const { socket, response } = Deno.upgradeWebSocket(request);
      this.#sockets.add(socket);
      socket.onclose = () => this.#sockets.delete(socket);
      if (pathname === "/ws/relay") this.#relay(socket);
      else this.#runner(socket);
      return response;
    }
    return this.#options.fetch?.(request) ?? new Response("not found", { status: 404 });
  }

  #relay(socket: WebSocket): void {
    let session: TestSession | null = null;
    socket.onmessage = ({ data }) => {
      if (session && session.socket !== socket) return;
      if (this.#options.dropBefore?.()) return drop(socket);
      const frame = parseFrame(relayClient, data);
      assert.deepEqual(frame.errors, []);
      for (const message of frame.messages) {
        if (message.type === "register") session = this.#register(socket, message);
        else if (message.type === "command_result") this.#receipt(message);
        else if (session) this.#record(session, message);
      }
      if (this.#options.dropAfter?.()) return drop(socket);
      if (session && session.seq > session.acked) {
        session.acked = session.seq;
        const sessionId = session.register?.sessionId;
        socket.send(JSON.stringify({ type: "event_ack", sessionId, seq: session.acked }));
      }
      this.#changed();
    };
  }

  #register(socket: WebSocket, register: Register): TestSession {
    const session = this.session(register.sessionId);
    if (session.logId !== register.logId) {
      if (session.logId !== "") session.restarts++;
      session.logId = register.logId;
      session.epoch = ++this.#epoch;
      session.seq = session.acked = 0;
      session.entries.clear();
      session.meta = initialMeta();
    }
    // What was not acknowledged was not committed.
    session.seq = session.acked;
    session.register = register;
    session.registrations++;
    session.socket = socket;
    session.end = null;
    const { sessionId } = register;
    const { epoch, acked } = session;
    socket.send(JSON.stringify({ type: "registered", sessionId, epoch, ackedSeq: acked, serverTime: Date.now() }));
    return session;
  }

  #record(session: TestSession, message: MessageOf<typeof relayClient>): void {
    if (message.type === "event") {
      assert.equal(message.epoch, session.epoch);
      if (message.seq <= session.seq) {
        session.duplicates++;
        return;
      }
      assert.equal(message.seq, session.seq + 1, "a gap");
      session.seq = message.seq;
      if (message.entry) session.entries.set(message.entry.id, message.entry);
      if (message.meta) session.meta = patchMeta(session.meta, message.meta);
    } else if (message.type === "delta") {
      assert.equal(message.epoch, session.epoch);
      const entry = session.entries.get(message.entryId);
      assert.ok(entry, "a delta for an entry that never came");
      const merge = mergeDelta(streamText(entry).length, message.at, message.text);
      assert.notEqual(merge.verdict, "gap");
      if (merge.verdict === "applied") session.entries.set(entry.id, withAppended(entry, merge.suffix));
    } else if (message.type === "session_end") session.end = message.end;
  }

  #runner(socket: WebSocket): void {
    socket.onmessage = ({ data }) => {
      const frame = parseFrame(runnerClient, data);
      assert.deepEqual(frame.errors, []);
      for (const message of frame.messages) {
        if (message.type === "register_runner") {
          this.runner = message;
          this.runnerSocket = socket;
          this.runnerRegistrations++;
          const { existingSessions } = this;
          const { runnerId } = message;
          socket.send(
            JSON.stringify({ type: "runner_registered", runnerId, existingSessions, serverTime: Date.now() }),
          );
        } else if (message.type === "command_result") this.#receipt(message);
        else if (message.type === "session_killed") this.killed.set(message.sessionId, message.end);
        else if (message.type === "file_result" || message.type === "agents_list") {
          this.answers.set(message.requestId, message);
        }
      }
      this.#changed();
    };
  }

  #receipt(result: CommandResult): void {
    this.receipts.set(result.op, [...this.receipts.get(result.op) ?? [], result]);
  }

  /** Sends a command to a session's host, or to the runner. */
  command(command: DeliveredCommand["command"], op: string, sessionId?: string, from = "Ada"): void {
    const socket = sessionId === undefined ? this.runnerSocket : this.session(sessionId).socket;
    assert.ok(socket, "nobody is connected");
    const at = Date.now();
    socket.send(JSON.stringify({ type: "command", op, sessionId, command, from, at, expiresAt: at + 60_000 }));
  }

  /** As command, and waits for its receipt. */
  async ask(
    command: DeliveredCommand["command"],
    op: string,
    sessionId?: string,
    from?: string,
  ): Promise<CommandResult> {
    const before = this.receipts.get(op)?.length ?? 0;
    this.command(command, op, sessionId, from);
    return await this.until(() => this.receipts.get(op)?.[before], `receipt of ${op}`);
  }

  /** A prompt to a session. */
  prompt(text: string): SessionCommand {
    return { kind: "prompt", text, delivery: "prompt" };
  }

  #changed(): void {
    for (const look of this.#watchers) look();
  }

  /** Waits until `find` gives something that is not null, undefined or false. Looked at after every frame. */
  async until<T>(find: () => T | null | undefined | false, what: string): Promise<T> {
    const found = Promise.withResolvers<T>();
    const look = () => {
      const value = find();
      if (value !== null && value !== undefined && value !== false) found.resolve(value);
    };
    const timer = setTimeout(() => found.reject(new Error(`timed out waiting for ${what}`)), WAIT_MS);
    this.#watchers.add(look);
    look();
    try {
      return await found.promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  /** Drops every connection without a closing handshake's courtesy. */
  dropAll(): void {
    for (const socket of this.#sockets) drop(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropAll();
    await this.#server.shutdown();
  }
}

function drop(socket: WebSocket): void {
  socket.onmessage = null;
  try {
    socket.close(1001);
  } catch {
    // Closed already.
  }
}
