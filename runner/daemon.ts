/** `perch __daemon`: the runner's process that talks to the hub, starts session hosts and looks after them. */
import {
  type AgentInfo,
  type CommandResult,
  type DeliveredCommand,
  type HistoryPage,
  type LoadHistory,
  type RunnerCommand,
  terminalAgentId,
} from "@/protocol/mod.ts";
import { hubSettings, resolveRoots, runnerName, updateConfig } from "./config.ts";
import { type DataDir, type SessionDir, sessionDir } from "./data_dir.ts";
import { enroll, LoginError } from "./device_login.ts";
import { PathError, resolveDirectory } from "./files.ts";
import { onSignals } from "./signals.ts";
import { HistoryReader } from "./history_reader.ts";
import { HostTable } from "./host_table.ts";
import type { HubTarget } from "./hub_socket.ts";
import { DataLink } from "./link/link.ts";
import { errorText, type Log } from "./log.ts";
import { RunnerLink } from "./runner_link.ts";
import { RunnerOps } from "./runner_ops.ts";
import { commandLine, type SelfCommand } from "./self_command.ts";
import type { SessionFile } from "./session_file.ts";
import { exitCodes } from "./supervisor.ts";
import { TerminalManager, TerminalRefusal } from "./terminal/manager.ts";
import { TerminalNews } from "./terminal/news.ts";
import { Exposures } from "./tunnel/exposures.ts";
import { RunnerTunnels } from "./tunnel/tunnels.ts";

export interface DaemonOptions {
  dataDir: DataDir;
  hubOption?: string;
  nameOption?: string;
  rootOptions: readonly string[];
  env: Record<string, string>;
  listAgents(): Promise<AgentInfo[]>;
  hostCommand(sessionPath: string): SelfCommand;
  terminalCommand: SelfCommand;
  /** Hosts beside this machine that tunnels may lead to. */
  tunnelHosts?: readonly string[];
  /** Program and arguments of `perch expose`, for agents. */
  exposeCommand: SelfCommand;
  write: Log;
  /** Resolves when the supervisor is gone: the daemon then leaves, and the sessions stay. */
  orphaned: Promise<void>;
}

/** The command cannot be carried out; the message is the receipt's reason. */
class Rejection extends Error {}

type Outcome = { code: number; sessions: "stop" | "leave" };

/** Runs the daemon until it is told to stop or cannot go on. Resolves with its exit code (exitCodes). */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { dataDir, write, env } = options;
  const config = updateConfig(dataDir.config, (old) => ({ ...old, runnerId: old.runnerId ?? crypto.randomUUID() }));
  const runnerId = config.runnerId as string;
  const roots = resolveRoots(config, options.rootOptions);
  const hub = hubSettings(config, env, options.hubOption);
  const hubUrl = hub.hubUrl;
  if (hubUrl === null) throw new LoginError("no hub is named; run perch login <hub-url>, or give --hub");

  const outcome = Promise.withResolvers<Outcome>();
  const cancelled = new AbortController();
  using _signals = onSignals(() => outcome.resolve({ code: exitCodes.stop, sessions: "stop" }));
  void options.orphaned.then(() => outcome.resolve({ code: exitCodes.stop, sessions: "leave" }));

  let target: HubTarget | null = hub.apiKey === null ? null : { hubUrl, apiKey: hub.apiKey };
  const requireTarget = (): HubTarget => {
    if (!target) throw new Error("there is no key for the hub yet");
    return target;
  };

  using ops = RunnerOps.open(dataDir.runnerOps);
  using hosts = new HostTable({
    dataDir,
    hostCommand: options.hostCommand,
    env: {
      ...env,
      PERCH_DATA_DIR: dataDir.path,
      PERCH_HUB_URL: hubUrl,
      PERCH_EXPOSE: commandLine(options.exposeCommand),
    },
    target: () => target,
    write,
    onEnded: (sessionId, end) => link.sessionKilled(sessionId, end),
  });
  using history = new HistoryReader();
  const isTerminal = (sessionId: string) =>
    hosts.has(sessionId) && hosts.sessionFile(sessionId)?.launch.agentId === terminalAgentId;
  const commands = new RunnerCommands({
    runnerId,
    roots,
    hosts,
    ops,
    listAgents: options.listAgents,
    checkTerminalRoom: () => terminals.checkRoom(),
    write,
  });
  // Terminals and tunnels take their streams from it.
  using dataLink = new DataLink({ runnerId, target: requireTarget, write });
  using terminals = new TerminalManager({
    roots,
    env,
    terminalCommand: options.terminalCommand,
    write,
    sessionSocket: (sessionId) => isTerminal(sessionId) ? sessionDir(dataDir, sessionId).terminalSocket : null,
    sessionIds: () => hosts.liveIds().filter(isTerminal),
    onChange: () => news.changed(),
  });
  using news = new TerminalNews(() => terminals.list(), () => link.tellTerminals());
  terminals.serve(dataLink);
  const tunnelHosts = options.tunnelHosts ?? config.tunnelHosts ?? [];
  const exposures = new Exposures(dataDir.tunnels, tunnelHosts);
  const unreadable = exposures.load();
  if (unreadable !== null) write("warning", unreadable);
  using tunnels = new RunnerTunnels(exposures, write);
  tunnels.register(dataLink);
  using link: RunnerLink = new RunnerLink({
    runnerId,
    name: runnerName(config, options.nameOption),
    roots,
    tunnelHosts,
    target: requireTarget,
    listAgents: options.listAgents,
    liveIds: () => hosts.liveIds(),
    storedIds: () => hosts.storedIds(),
    onDeleted: (sessionIds) => void commands.remove(sessionIds),
    onHistory: (request) => historyOf(hosts, history, request, sessionDir(dataDir, request.sessionId)),
    onTerminalRequest: (request) => terminals.request(request),
    onTunnelRequest: (request) => tunnels.answer(request),
    terminals: () => news.now,
    isKnownAlive: (sessionId) => hosts.has(sessionId),
    endOf: (sessionId) => hosts.endOf(sessionId),
    onCommand: (command) => commands.deliver(command),
    onRegistered: () => {
      hosts.tellHub(requireTarget());
      hosts.settle();
      dataLink.connect();
    },
    onRefused: (refusal, reason) => {
      if (refusal === "unauthorized" && env.PERCH_ENROLLMENT && !isEnrolled) void enrollNow();
      else outcome.resolve({ code: giveUp(refusal, reason, hubUrl, write), sessions: "leave" });
    },
    write,
  });

  let isEnrolled = false;
  const enrollNow = async (): Promise<void> => {
    isEnrolled = true;
    try {
      const grant = await enroll(hubUrl, env.PERCH_ENROLLMENT as string, cancelled.signal);
      updateConfig(dataDir.config, (old) => ({
        ...old,
        hubUrl: old.hubUrl ?? hubUrl,
        hubs: { ...old.hubs, [hubUrl]: { apiKey: grant.apiKey, userName: grant.userName } },
      }));
      target = { hubUrl, apiKey: grant.apiKey };
      link.connect();
    } catch (error) {
      if (cancelled.signal.aborted) return;
      write("error", errorText(error));
      outcome.resolve({ code: exitCodes.giveUp, sessions: "leave" });
    }
  };

  await hosts.adopt();
  if (target) link.connect();
  else if (env.PERCH_ENROLLMENT) void enrollNow();
  else throw new LoginError(`this runner has no key for ${hubUrl}; run perch login ${hubUrl}`);

  const { code, sessions } = await outcome.promise;
  cancelled.abort();
  // No command comes in any more; the hub keeps them for the next run.
  await link.finish();
  await commands.idle();
  await terminals.close();
  if (sessions === "stop") await hosts.stopAll("runner_stopped");
  return code;
}

function giveUp(refusal: string, reason: string, hubUrl: string, write: Log): number {
  const sentences: Record<string, string> = {
    unauthorized: `the hub ${hubUrl} does not accept this runner's key any more; run perch login ${hubUrl}`,
    replaced: "another process registered as this runner; give one of the two a data directory of its own (--data-dir)",
    protocol_version: `the hub ${hubUrl} speaks another protocol version; update the older of the two`,
    deleted: `this runner is not yours on the hub ${hubUrl}; to register it anew, remove "runnerId" from config.json`,
  };
  write("error", sentences[refusal] ?? reason, { reason });
  return exitCodes.giveUp;
}

function historyOf(
  hosts: HostTable,
  reader: HistoryReader,
  { requestId, sessionId, before, limit }: LoadHistory,
  dir: SessionDir,
): HistoryPage {
  const answer = { type: "history_page", requestId, sessionId, entries: [], hasMore: false } as const;
  if (hosts.sessionFile(sessionId) === null) return { ...answer, entries: [], error: "it does not have that session" };
  try {
    return { ...answer, ...reader.page(dir, before, limit) };
  } catch (error) {
    return { ...answer, entries: [], error: errorText(error).slice(0, 2_000) };
  }
}

export interface RunnerCommandsOptions {
  runnerId: string;
  roots: readonly string[];
  hosts: Pick<HostTable, "has" | "sessionFile" | "startNew" | "resume" | "stop" | "remove">;
  ops: RunnerOps;
  listAgents(): Promise<AgentInfo[]>;
  /** Throws when there is no room for another terminal. */
  checkTerminalRoom(): void;
  write: Log;
}

/** Carries out the commands to a runner, each op once. */
export class RunnerCommands {
  readonly #options: RunnerCommandsOptions;
  readonly #inFlight = new Map<string, Promise<CommandResult>>();
  /** Commands for one session run one after another. */
  readonly #bySession = new Map<string, Promise<void>>();

  constructor(options: RunnerCommandsOptions) {
    this.#options = options;
  }

  /** Carries a command out and answers with its receipt; a repeated delivery gets the same receipt. Never rejects. */
  deliver(delivered: DeliveredCommand): Promise<CommandResult> {
    const { op } = delivered;
    const known = this.#options.ops.get(op);
    if (known) return Promise.resolve({ type: "command_result", op, ...known });
    const running = this.#inFlight.get(op);
    if (running) return running;
    const result = this.#carryOut(delivered).finally(() => this.#inFlight.delete(op));
    this.#inFlight.set(op, result);
    return result;
  }

  /** Removes what is kept of deleted sessions, each in turn with the commands for it. Never rejects. */
  async remove(sessionIds: readonly string[]): Promise<void> {
    const { hosts, write } = this.#options;
    await Promise.all(
      sessionIds.map((sessionId) =>
        this.#inTurn(sessionId, () => hosts.remove(sessionId)).catch((error) =>
          write("warning", `deleted session ${sessionId} cannot be removed: ${errorText(error)}`)
        )
      ),
    );
  }

  /** Waits until no command is being carried out. */
  async idle(): Promise<void> {
    await Promise.all(this.#inFlight.values());
  }

  async #carryOut(delivered: DeliveredCommand): Promise<CommandResult> {
    const { op, command } = delivered;
    try {
      if (command.kind !== "new_session" && command.kind !== "kill_session" && command.kind !== "resume_session") {
        throw new Rejection(`"${command.kind}" is a command for a session, not for a runner`);
      }
      await this.#inTurn(command.sessionId, () => this.#execute(command, delivered));
      this.#options.ops.add(op, { status: "applied" });
      return { type: "command_result", op, status: "applied" };
    } catch (error) {
      if (!(error instanceof Rejection || error instanceof PathError || error instanceof TerminalRefusal)) {
        this.#options.write("error", `${command.kind} failed: ${errorText(error)}`, { op });
      }
      const reason = errorText(error).slice(0, 2_000);
      this.#options.ops.add(op, { status: "rejected", reason });
      return { type: "command_result", op, status: "rejected", reason };
    }
  }

  async #inTurn(sessionId: string, work: () => Promise<void>): Promise<void> {
    const before = this.#bySession.get(sessionId) ?? Promise.resolve();
    const done = before.then(work);
    const settled = done.catch(() => {});
    this.#bySession.set(sessionId, settled);
    try {
      await done;
    } finally {
      if (this.#bySession.get(sessionId) === settled) this.#bySession.delete(sessionId);
    }
  }

  async #execute(command: RunnerCommand, delivered: DeliveredCommand): Promise<void> {
    const { hosts } = this.#options;
    switch (command.kind) {
      case "new_session":
        return await this.#newSession(command, delivered);
      case "kill_session":
        return await hosts.stop(command.sessionId, "closed");
      case "resume_session":
        return await this.#resume(command.sessionId);
    }
  }

  async #resume(sessionId: string): Promise<void> {
    const { hosts, roots } = this.#options;
    const session = hosts.sessionFile(sessionId);
    if (!session) throw new Rejection("this runner does not have that session");
    // The folder may be gone, or the roots narrower than they were.
    await resolveDirectory(session.cwd, roots);
    if (session.launch.agentId === terminalAgentId && !hosts.has(sessionId)) this.#options.checkTerminalRoom();
    await hosts.resume(sessionId);
  }

  async #newSession(
    command: Extract<RunnerCommand, { kind: "new_session" }>,
    delivered: DeliveredCommand,
  ): Promise<void> {
    const { hosts, roots, runnerId } = this.#options;
    // A crash between the start and its receipt.
    if (hosts.has(command.sessionId)) return;
    if (hosts.sessionFile(command.sessionId)) throw new Rejection("this session exists already; resume it instead");
    const cwd = await resolveDirectory(command.cwd, roots);
    const { agentId } = command.agent;
    const info = (await this.#options.listAgents()).find((agent) => agent.id === agentId);
    const takesCommand = agentId === "custom" || agentId === terminalAgentId;
    if (takesCommand ? command.agent.command === undefined : info === undefined) {
      throw new Rejection(
        takesCommand
          ? `agent "${agentId}" needs a command line: its program and arguments`
          : `this runner has no agent "${agentId}"`,
      );
    }
    if (info && !info.available) {
      throw new Rejection(`${info.name} cannot be started here: ${info.missing ?? "missing"}`);
    }
    if (agentId === terminalAgentId) this.#options.checkTerminalRoom();
    const session: SessionFile = {
      sessionId: command.sessionId,
      runnerId,
      cwd,
      launch: command.agent,
      agent: info
        ? { id: info.id, name: info.name, ...(info.isDemo ? { isDemo: true } : {}) }
        : { id: agentId, name: command.agent.command?.[0]?.split("/").at(-1) ?? agentId },
      sessionName: command.sessionName ?? null,
      startedAt: delivered.at,
      firstPrompt: command.prompt ? { op: delivered.op, text: command.prompt, from: delivered.from } : null,
    };
    await hosts.startNew(session);
  }
}
