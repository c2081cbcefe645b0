/** The daemon's connection to the hub: registers the runner, answers its questions, carries commands out. */
import {
  type AgentInfo,
  type CommandResult,
  type DeliveredCommand,
  type ErrorMessage,
  type HistoryPage,
  type LoadHistory,
  type MessageOf,
  parseFrame,
  PERCH_VERSION,
  PROTOCOL_VERSION,
  type RegisterRunner,
  runnerServer,
  type RunnerTerminals,
  type SessionEnd,
} from "@/protocol/mod.ts";
import type { TerminalRequest, TerminalResult } from "@/protocol/terminal.ts";
import type { ExposePort, TunnelResult, UnexposePort } from "@/protocol/tunnel.ts";
import type * as z from "zod";
import type { BackoffOptions } from "./backoff.ts";
import { listFiles } from "./files.ts";
import { type HubRefusal, HubSocket, type HubTarget } from "./hub_socket.ts";
import { errorText, type Log } from "./log.ts";

/**
 * How long a session that the hub believes to live here may be without a host before it is reported dead: the command that makes it
 * may be the next message.
 */
const MISSING_GRACE_MS = 1_000;

export interface RunnerLinkOptions {
  runnerId: string;
  name: string;
  roots: readonly string[];
  /** Hosts beside this machine that tunnels may lead to. */
  tunnelHosts: readonly string[];
  target(): HubTarget;
  listAgents(): Promise<AgentInfo[]>;
  liveIds(): string[];
  /** Sessions without a host that this machine keeps a journal of. */
  storedIds(): string[];
  /** A person deleted these sessions. */
  onDeleted(sessionIds: readonly string[]): void;
  /** A page of a session's journal. Never throws: what goes wrong is its `error`. */
  onHistory(request: LoadHistory): HistoryPage;
  /** Never rejects. */
  onTerminalRequest(request: z.infer<typeof TerminalRequest>): Promise<TerminalResult>;
  /** Exposes a port or closes a tunnel. */
  onTunnelRequest(request: ExposePort | UnexposePort): TunnelResult;
  isKnownAlive(sessionId: string): boolean;
  endOf(sessionId: string): SessionEnd | null;
  /** Idempotent by op. Never rejects. */
  onCommand(command: DeliveredCommand): Promise<CommandResult>;
  /** What lists show of the terminals now. */
  terminals(): RunnerTerminals;
  onRegistered(): void;
  onRefused(refusal: HubRefusal, reason: string): void;
  write: Log;
  backoff?: BackoffOptions;
}

export class RunnerLink {
  readonly #options: RunnerLinkOptions;
  readonly #socket: HubSocket;
  #agents: AgentInfo[] = [];
  #isRegistered = false;
  #lastReason = "";
  #attempt = 0;
  #graceTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: RunnerLinkOptions) {
    this.#options = options;
    this.#socket = new HubSocket({
      path: "/ws/runner",
      target: options.target,
      backoff: options.backoff,
      handlers: {
        onOpen: () => void this.#register(),
        onFrame: (data) => this.#onFrame(data),
        onClose: (reason) => this.#onClose(reason),
        onRefused: (refusal, reason) => options.onRefused(refusal, reason),
      },
    });
  }

  get isRegistered(): boolean {
    return this.#isRegistered;
  }

  /** Connects; after a refusal, tries again. */
  connect(): void {
    this.#socket.restart();
  }

  /** Reports the end of a session whose host could not do it itself. */
  sessionKilled(sessionId: string, end: SessionEnd): void {
    this.#send({ type: "session_killed", sessionId, end });
  }

  async #register(): Promise<void> {
    const options = this.#options;
    const attempt = ++this.#attempt;
    this.#agents = await this.#lookForAgents();
    // The connection may have been replaced meanwhile; the new one registers itself.
    if (attempt !== this.#attempt) return;
    const register: RegisterRunner = {
      type: "register_runner",
      protocolVersion: PROTOCOL_VERSION,
      runnerId: options.runnerId,
      name: options.name,
      roots: [...options.roots],
      agents: this.#agents,
      version: PERCH_VERSION,
      platform: `${Deno.build.os}-${Deno.build.arch}`,
      sessionIds: options.liveIds(),
      storedSessionIds: options.storedIds(),
      warnings: [],
      terminals: options.terminals(),
      ...(options.tunnelHosts.length > 0 ? { tunnelHosts: [...options.tunnelHosts] } : {}),
    };
    this.#send(register);
  }

  /** Tells what lists show of the terminals now; a later registration tells it, too. */
  tellTerminals(): void {
    if (this.#isRegistered) this.#send({ type: "runner_update", terminals: this.#options.terminals() });
  }

  async #lookForAgents(): Promise<AgentInfo[]> {
    try {
      return await this.#options.listAgents();
    } catch (error) {
      this.#options.write("error", `looking for agents failed: ${errorText(error)}`);
      return this.#agents;
    }
  }

  #onFrame(data: unknown): void {
    const frame = parseFrame(runnerServer, data);
    for (const error of frame.errors) {
      this.#options.write("warning", "the hub sent a frame that is not valid", { error });
    }
    for (const message of frame.messages) this.#onMessage(message);
  }

  #onMessage(message: MessageOf<typeof runnerServer>): void {
    switch (message.type) {
      case "runner_registered":
        this.#onRegistered(message.existingSessions);
        if (message.deletedSessions) this.#options.onDeleted(message.deletedSessions);
        return;
      case "session_deleted":
        this.#options.onDeleted([message.sessionId]);
        return;
      case "expose_port":
      case "unexpose_port":
        this.#send(this.#options.onTunnelRequest(message));
        return;
      case "terminal_request":
        void this.#options.onTerminalRequest(message).then((result) => this.#send(result));
        return;
      case "load_history":
        this.#send(this.#options.onHistory(message));
        return;
      case "command":
        void this.#options.onCommand(message).then((result) => this.#send(result));
        return;
      case "list_files":
        void listFiles(message, this.#options.roots).then((result) => this.#send(result));
        return;
      case "list_agents":
        void this.#onListAgents(message.requestId);
        return;
      case "error":
        this.#onError(message);
        return;
      case "going_away":
        this.#options.write("info", `the hub is about to stop and closes this connection within ${message.inMs} ms`);
        return;
      case "ping":
        this.#send({ type: "pong" });
        return;
      case "pong":
        return;
    }
  }

  #onError(message: ErrorMessage): void {
    const { write, onRefused } = this.#options;
    write("warning", `the hub reports ${message.code}: ${message.message}`, { field: message.field });
    if (this.#isRegistered) return;
    // This runner's id belongs to another account: it will not be given to this one, however often it is asked for.
    if (message.code === "not_found") onRefused("deleted", message.message);
    else this.#socket.reconnect(message.message);
  }

  #onRegistered(existingSessions: readonly string[]): void {
    this.#isRegistered = true;
    this.#socket.confirm();
    const { name, runnerId, roots, target } = this.#options;
    this.#options.write("info", `runner "${name}" is connected to ${target().hubUrl}`, { runnerId, roots });
    this.#lastReason = "";
    this.#options.onRegistered();
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => {
      for (const sessionId of existingSessions) {
        if (this.#options.isKnownAlive(sessionId)) continue;
        const end = this.#options.endOf(sessionId) ??
          { reason: "lost", detail: "this runner does not know the session", at: Date.now() };
        this.sessionKilled(sessionId, end);
      }
    }, MISSING_GRACE_MS);
  }

  async #onListAgents(requestId: string): Promise<void> {
    const agents = await this.#lookForAgents();
    const isChanged = JSON.stringify(agents) !== JSON.stringify(this.#agents);
    this.#agents = agents;
    this.#send({ type: "agents_list", requestId, agents });
    if (isChanged) this.#send({ type: "runner_update", agents });
  }

  /** What cannot be sent now is asked for again by the hub, or follows from the next registration. */
  #send(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  #onClose(reason: string): void {
    // Attempt after attempt fails for the same reason: that is said once.
    if (this.#isRegistered || reason !== this.#lastReason) {
      this.#options.write("info", `no connection to the hub, trying again: ${reason}`);
    }
    this.#lastReason = reason;
    this.#isRegistered = false;
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = null;
  }

  close(): void {
    this.#onClosed();
    this.#socket.close();
  }

  /** As close, after what was sent has arrived (bounded). */
  async finish(): Promise<void> {
    this.#onClosed();
    await this.#socket.finish();
  }

  #onClosed(): void {
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
