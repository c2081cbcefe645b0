/** `perch runner`: keeps one daemon alive. Does nothing else, so that nothing else can take it down. */
import { backoffMs } from "./backoff.ts";
import type { DataDir } from "./data_dir.ts";
import { FileLock } from "./file_lock.ts";
import { onSignals } from "./signals.ts";
import { errorText, type Log } from "./log.ts";
import { readTextIfExists } from "./atomic_file.ts";
import type { SelfCommand } from "./self_command.ts";

/** What a daemon's exit code asks of its supervisor. Any other: restart with back-off. */
export const exitCodes = {
  stop: 0,
  /** A second runner on one data directory. */
  alreadyRunning: 3,
  /** Restart at once. */
  restart: 42,
  /** A person must do something first; the log says what. */
  giveUp: 78,
} as const;

/** A daemon that lived this long was healthy: the back-off starts over. */
const HEALTHY_MS = 60_000;
const RESTART_BACKOFF = { firstMs: 1_000, maxMs: 60_000 };
/** Longest time that a daemon may take to stop its sessions. */
const STOP_MS = 14_000;
/** A runner that was orphaned a moment ago may still be leaving. */
const LOCK_WAIT_MS = 2_000;

export type NextStep = { do: "stop"; code: number } | { do: "restart"; delayMs: number; failures: number };

/** What follows from a daemon's exit. `failures`: how often in a row it failed before. Pure. */
export function nextStep(code: number, livedMs: number, failures: number): NextStep {
  if (code === exitCodes.stop || code === exitCodes.giveUp) return { do: "stop", code };
  if (code === exitCodes.restart) return { do: "restart", delayMs: 0, failures: 0 };
  const before = livedMs >= HEALTHY_MS ? 0 : failures;
  return { do: "restart", delayMs: backoffMs(before, RESTART_BACKOFF), failures: before + 1 };
}

export interface SupervisorOptions {
  dataDir: DataDir;
  daemonCommand: SelfCommand;
  write: Log;
  /** Resolves when whoever started the runner is gone: it then leaves, and the sessions stay. Null: it stays whatever happens. */
  orphaned: Promise<void> | null;
}

/** Holder of the runner lock, as its file says. */
export interface RunnerLockInfo {
  supervisorPid: number;
  daemonPid: number | null;
}

/** Who runs a runner on this data directory now, or null. */
export function runningRunner(dataDir: DataDir): RunnerLockInfo | null {
  try {
    Deno.statSync(dataDir.runnerLock);
  } catch {
    return null;
  }
  const lock = FileLock.tryTake(dataDir.runnerLock);
  if (lock) {
    lock.release();
    return null;
  }
  try {
    const info = JSON.parse(readTextIfExists(dataDir.runnerLock) ?? "");
    return { supervisorPid: Number(info.supervisorPid), daemonPid: info.daemonPid ?? null };
  } catch {
    return { supervisorPid: 0, daemonPid: null };
  }
}

/** Runs the daemon, again and again, until it or a signal says stop. Resolves with the exit code. */
export async function runSupervisor(options: SupervisorOptions): Promise<number> {
  const { dataDir, write } = options;
  Deno.mkdirSync(dataDir.path, { recursive: true, mode: 0o700 });
  using lock = await FileLock.take(dataDir.runnerLock, LOCK_WAIT_MS);
  if (!lock) {
    const pid = runningRunner(dataDir)?.supervisorPid;
    console.error(
      `perch: a runner already runs on ${dataDir.path}${pid ? ` (process ${pid})` : ""}; ` +
        "stop it, or give this one another --data-dir",
    );
    return exitCodes.alreadyRunning;
  }
  const stopping = new AbortController();
  using _signals = onSignals(() => stopping.abort("stop"));
  void options.orphaned?.then(() => stopping.abort("leave"));
  for (let failures = 0;;) {
    const startedAt = Date.now();
    const code = await runOnce(options, lock, stopping.signal);
    if (stopping.signal.aborted) return code === exitCodes.giveUp ? code : exitCodes.stop;
    const step = nextStep(code, Date.now() - startedAt, failures);
    if (step.do === "stop") return step.code;
    failures = step.failures;
    write("warning", `the daemon ended with code ${code}; it is started again`, { delayMs: step.delayMs });
    await pause(step.delayMs, stopping.signal);
    if (stopping.signal.aborted) return exitCodes.stop;
  }
}

async function runOnce(options: SupervisorOptions, lock: FileLock, stopping: AbortSignal): Promise<number> {
  const { program, args } = options.daemonCommand;
  let child: Deno.ChildProcess;
  try {
    // The daemon reads its stdin: when that ends, this supervisor is gone.
    child = new Deno.Command(program, { args, stdin: "piped", stdout: "inherit", stderr: "inherit" }).spawn();
  } catch (error) {
    options.write("error", `the daemon cannot be started: ${errorText(error)}`);
    return 1;
  }
  lock.write(JSON.stringify({ supervisorPid: Deno.pid, daemonPid: child.pid }));
  let killTimer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    // Without its stdin the daemon leaves and the sessions stay; on SIGTERM it stops them.
    if (stopping.reason === "leave") child.stdin.close().catch(() => {});
    else kill(child, "SIGTERM");
    killTimer = setTimeout(() => {
      options.write("error", "the daemon did not stop in time and is killed");
      kill(child, "SIGKILL");
    }, STOP_MS);
  };
  if (stopping.aborted) stop();
  stopping.addEventListener("abort", stop, { once: true });
  const status = await child.status;
  stopping.removeEventListener("abort", stop);
  clearTimeout(killTimer);
  await child.stdin.close().catch(() => {});
  lock.write(JSON.stringify({ supervisorPid: Deno.pid, daemonPid: null }));
  return status.code;
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended already.
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
