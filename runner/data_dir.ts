/** Where the runner keeps what on disk. */
import { createHash } from "node:crypto";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Longest path that a unix socket may be bound to on every system we run on (108 on Linux, 104 on macOS, with the NUL). */
export const SOCKET_PATH_BYTES = 100;

export interface DataDir {
  readonly path: string;
  readonly config: string;
  readonly sessions: string;
  /** Held (flock) and filled in by the one supervisor of this directory. */
  readonly runnerLock: string;
  /** What supervisor and daemon have to say. */
  readonly runnerLog: string;
  /** Receipts that the daemon has given. */
  readonly runnerOps: string;
  /** Ports that this runner exposes. */
  readonly tunnels: string;
}

/** The data directory: `--data-dir`, else PERCH_DATA_DIR, else `~/.perch`. Made by whoever first writes into it. */
export function dataDir(option: string | undefined, env: Record<string, string | undefined>): DataDir {
  const path = resolve(option ?? (env.PERCH_DATA_DIR || join(homedir(), ".perch")));
  return {
    path,
    config: join(path, "config.json"),
    sessions: join(path, "sessions"),
    runnerLock: join(path, "runner.lock"),
    runnerLog: join(path, "runner.log"),
    runnerOps: join(path, "runner-ops"),
    tunnels: join(path, "tunnels.json"),
  };
}

export interface SessionDir {
  readonly path: string;
  /** What to launch (SessionFile). */
  readonly session: string;
  readonly journal: string;
  /** Held (flock) by whoever owns the journal: the host, or a daemon that settles a dead host's journal. */
  readonly lock: string;
  /** How the last run ended (EndedFile). */
  readonly ended: string;
  readonly log: string;
  /** The host's control socket. */
  readonly socket: string;
  /** Where the host of a session in a terminal lets viewers in. */
  readonly terminalSocket: string;
}

/**
 * A session's directory. Its name is the session id where that is a plain lower-case name, else a hash of it: ids come from
 * the hub, may be `..` or differ in case only, and the directory itself is where `session.json` says the real id.
 */
export function sessionDir(dir: DataDir, sessionId: string): SessionDir {
  const name = /^[a-z0-9][a-z0-9_-]{0,99}$/.test(sessionId) ? sessionId : `x-${hash(sessionId, 32)}`;
  return sessionDirAt(join(dir.sessions, name));
}

/** As sessionDir, for a directory that is already there. */
export function sessionDirAt(path: string): SessionDir {
  return {
    path,
    session: join(path, "session.json"),
    journal: join(path, "journal"),
    lock: join(path, "lock"),
    ended: join(path, "ended.json"),
    log: join(path, "host.log"),
    socket: socketPath(path, "control"),
    terminalSocket: socketPath(path, "terminal"),
  };
}

/** In the directory itself when the path is short enough to be bound, else under the system's temporary directory. */
function socketPath(directory: string, name: string): string {
  const near = join(directory, `${name}.sock`);
  if (new TextEncoder().encode(near).length <= SOCKET_PATH_BYTES) return near;
  const user = Deno.build.os === "windows" ? "user" : String(Deno.uid());
  return join(tmpdir(), `perch-${user}`, `${hash(directory, 24)}${name === "control" ? "" : `-${name}`}.sock`);
}

function hash(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
