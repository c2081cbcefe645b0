/** `perch __host`: the process of one session. Owns its journal, its agent and its socket to the hub; outlives the daemon. */
import type { Agent, AgentContext } from "./agents/agent.ts";
import { hubSettings, readConfig } from "./config.ts";
import { type ControlRequest, ControlServer, type HostStatus } from "./control.ts";
import { type DataDir, sessionDirAt } from "./data_dir.ts";
import { FileLock } from "./file_lock.ts";
import type { HubTarget } from "./hub_socket.ts";
import { Journal } from "./journal.ts";
import { boundLogFile, errorText, hostLog } from "./log.ts";
import { RelayLink } from "./relay_link.ts";
import { readSessionFile, writeEndedFile } from "./session_file.ts";
import { SessionHost } from "./session_host.ts";
import { SessionLog } from "./session_log.ts";
import { settle } from "./settle.ts";
import { onSignals } from "./signals.ts";
import { PortWatch } from "./tunnel/port_watch.ts";

/** The daemon may hold the lock for an instant, to see whether anybody does. */
const LOCK_WAIT_MS = 2_000;
const LOG_CHECK_MS = 60_000;
/** Never passed on to an agent: its tools run what a model says. */
const secretVariables = ["PERCH_API_KEY", "PERCH_ENROLLMENT"];

export interface HostMainOptions {
  sessionPath: string;
  dataDir: DataDir;
  createAgent(context: AgentContext): Agent;
  /** As SETTLE_MS. */
  settleMs?: number;
}

/** Hosts the session until it ends. Resolves with the process's exit code. */
export async function runHost(options: HostMainOptions): Promise<number> {
  const write = hostLog();
  const dir = sessionDirAt(options.sessionPath);
  const session = readSessionFile(dir);
  using lock = await FileLock.take(dir.lock, LOCK_WAIT_MS);
  if (!lock) {
    write("error", "another process hosts this session already", { sessionId: session.sessionId });
    return 1;
  }
  boundLogFile(dir.log);
  const logTimer = setInterval(() => boundLogFile(dir.log), LOG_CHECK_MS);

  const journal = Journal.open(dir.journal, { warn: (message) => write("warning", message) });
  await using log = new SessionLog({
    sessionId: session.sessionId,
    journal,
    warn: (message) => write("warning", message),
  });
  const env = Deno.env.toObject();
  for (const name of secretVariables) delete env[name];
  env.PERCH_SESSION_ID = session.sessionId;
  const host = new SessionHost({
    log,
    write,
    createAgent: (handles) =>
      options.createAgent({
        launch: session.launch,
        cwd: session.cwd,
        env,
        log: write,
        terminalSocket: dir.terminalSocket,
        ...handles,
      }),
  });
  if (session.sessionName !== null && journal.index.metaSeq === 0) host.writer.setTitle(session.sessionName, "user");

  if (journal.damage.length > 0) {
    host.writer.notice("warning", "part of this session's record was damaged on disk", journal.damage.join("\n"));
  }

  let handedOver: HubTarget | null = null;
  let isDeleted = false;
  using link = new RelayLink({
    sessionId: session.sessionId,
    log,
    write,
    describe: () => ({
      runnerId: session.runnerId,
      cwd: session.cwd,
      sessionName: host.writer.givenTitle(),
      agent: session.agent,
      startedAt: session.startedAt,
    }),
    target: () => handedOver ?? targetFrom(options.dataDir),
    onCommand: (command) => host.deliver(command),
    onDeleted: () => {
      isDeleted = true;
      void host.stop("closed", "the session was deleted");
    },
    onRefused: (refusal) => {
      if (refusal === "replaced") void host.stop("lost", "another process took this session over");
    },
  });

  const status = (): HostStatus => ({
    sessionId: session.sessionId,
    pid: Deno.pid,
    activity: log.meta().activity,
    isRegistered: link.isRegistered,
    lastSeq: log.lastSeq,
    ackedSeq: log.ackedSeq,
  });
  using _control = new ControlServer(dir.socket, async (request: ControlRequest) => {
    if (request.type === "hub") {
      handedOver = { hubUrl: request.hubUrl, apiKey: request.apiKey };
      link.connect();
    }
    if (request.type === "stop") await host.stop(request.reason, request.detail);
    return status();
  });
  using _ports = new PortWatch(Deno.pid, (ports) => host.writer.refresh({ ports }));
  using _signals = onSignals(() => void host.stop("runner_stopped"));

  write("info", "session host started", { sessionId: session.sessionId, pid: Deno.pid });
  void host.start();
  const { firstPrompt } = session;
  if (firstPrompt) {
    void host.deliver({
      type: "command",
      op: firstPrompt.op,
      command: { kind: "prompt", text: firstPrompt.text, delivery: "prompt" },
      from: firstPrompt.from,
      at: session.startedAt,
      expiresAt: Number.MAX_SAFE_INTEGER,
    });
  }
  link.connect();

  const end = await host.ended;
  writeEndedFile(dir, { end, isSettled: false, isDeleted });
  const isSettled = !isDeleted && await settle(log, link, end, options.settleMs);
  writeEndedFile(dir, { end, isSettled, isDeleted });
  write("info", "session ended", { reason: end.reason, isSettled, lastSeq: log.lastSeq, ackedSeq: log.ackedSeq });
  clearInterval(logTimer);
  return 0;
}

function targetFrom(dataDir: DataDir): HubTarget {
  const { hubUrl, apiKey } = hubSettings(readConfig(dataDir.config), Deno.env.toObject());
  if (hubUrl === null || apiKey === null) throw new Error("this runner is not logged in to a hub");
  return { hubUrl, apiKey };
}

/** Runs the host and ends the process with its code; what is thrown goes to the log, which the daemon quotes. */
export async function hostProcess(options: HostMainOptions): Promise<never> {
  try {
    Deno.exit(await runHost(options));
  } catch (error) {
    hostLog()("error", errorText(error), { stack: error instanceof Error ? error.stack : undefined });
    Deno.exit(1);
  }
}
