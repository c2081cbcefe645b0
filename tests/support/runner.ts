/** The real runner: supervisor, daemon and session hosts as processes, and their process ids so that tests can kill them. */
import { join } from "node:path";
import { ControlClient } from "@/runner/control.ts";
import { dataDir, type SessionDir, sessionDir } from "@/runner/data_dir.ts";
import { Child, isAlive, killPid, logTail } from "./child.ts";
import { type HubClient, root } from "./hub.ts";
import { eventually } from "./patience.ts";

export interface RunnerOptions {
  env?: Record<string, string>;
  /** Program and arguments before `runner`; default: this deno on runner/main.ts. */
  command?: string[];
  /** Further options of `perch runner`. */
  args?: string[];
}

/** Starts a runner for the hub's first person and waits until the hub sees it. Dispose it: all its processes go. */
export async function startRunner(hub: HubClient, options: RunnerOptions = {}): Promise<RunnerProcess> {
  const dir = await Deno.makeTempDir({ prefix: "perch-runner-" });
  await Deno.mkdir(join(dir, "work"));
  const runner = new RunnerProcess(hub, dir, options);
  try {
    runner.runnerId = await eventually(async () => {
      if (runner.child.isOver) throw new Error(`the runner ended; its log: ${logTail(runner.child.logPath)}`);
      const { runners } = await hub.api("GET", "/api/runners");
      return runners.find(({ name, isConnected }: { name: string; isConnected: boolean }) =>
        name === runner.name && isConnected
      )?.runnerId as string | undefined;
    }, "the runner's registration");
    return runner;
  } catch (error) {
    await runner[Symbol.asyncDispose]();
    throw error;
  }
}

export class RunnerProcess implements AsyncDisposable {
  readonly child: Child;
  readonly dir: string;
  readonly name = `runner-${crypto.randomUUID().slice(0, 8)}`;
  runnerId = "";
  readonly #hub: HubClient;

  constructor(hub: HubClient, dir: string, { env, command, args = [] }: RunnerOptions) {
    this.#hub = hub;
    this.dir = dir;
    const [program, ...before] = command ??
      [Deno.execPath(), "run", "-A", "--quiet", "--config", join(root, "deno.json"), join(root, "runner/main.ts")];
    this.child = new Child({
      program: program!,
      args: [
        ...before,
        "runner",
        "--hub",
        hub.url,
        "--data-dir",
        dir,
        "--root",
        this.work,
        "--name",
        this.name,
        ...args,
      ],
      env: { PERCH_API_KEY: hub.apiKey, ...env },
      logPath: join(dir, "runner-stderr.log"),
    });
  }

  /** The folder in which sessions run; the runner's only root. */
  get work(): string {
    return join(this.dir, "work");
  }

  /** The daemon's process; waits until there is one other than `not`. */
  daemonPid(not = 0): Promise<number> {
    return eventually(() => {
      try {
        const { daemonPid } = JSON.parse(Deno.readTextFileSync(dataDir(this.dir, {}).runnerLock));
        return typeof daemonPid === "number" && daemonPid !== not && isAlive(daemonPid) ? daemonPid : null;
      } catch {
        return null;
      }
    }, "a daemon");
  }

  sessionDir(sessionId: string): SessionDir {
    return sessionDir(dataDir(this.dir, {}), sessionId);
  }

  /** The process that hosts the session, or null when there is none. */
  async hostPid(sessionId: string): Promise<number | null> {
    return await this.#hostAt(this.sessionDir(sessionId).socket);
  }

  async #hostAt(socket: string): Promise<number | null> {
    try {
      using client = await ControlClient.connect(socket);
      return (await client.request({ type: "status" }))?.pid ?? null;
    } catch {
      return null;
    }
  }

  /** Starts a session and resolves with its id as soon as the hub has the command. */
  async startSession(agent: { agentId: string; command?: string[] }, prompt?: string): Promise<string> {
    const { sessionId } = await this.#hub.api("POST", "/api/sessions", {
      runnerId: this.runnerId,
      cwd: this.work,
      agent,
      ...(prompt === undefined ? {} : { prompt }),
    });
    return sessionId;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The supervisor first, so that it does not start another daemon; then what it leaves.
    const daemon = await this.#lastDaemon();
    await this.child[Symbol.asyncDispose]();
    if (daemon !== null) killPid(daemon);
    const names = await namesIn(dataDir(this.dir, {}).sessions);
    for (const name of names) {
      const pid = await this.#hostAt(this.sessionDir(name).socket);
      if (pid !== null) killPid(pid);
    }
    await Deno.remove(this.dir, { recursive: true }).catch(() => {});
  }

  async #lastDaemon(): Promise<number | null> {
    try {
      const { daemonPid } = JSON.parse(await Deno.readTextFile(dataDir(this.dir, {}).runnerLock));
      return typeof daemonPid === "number" ? daemonPid : null;
    } catch {
      return null;
    }
  }
}

async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(path)) names.push(name);
  } catch {
    // No session was ever started.
  }
  return names;
}
