/** The session hosts of this machine, as the daemon knows them: started, adopted, watched, stopped, and settled after their death. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import type { SessionEnd } from "@/protocol/mod.ts";
import { removeIfExists } from "./atomic_file.ts";
import { ControlClient } from "./control.ts";
import { type DataDir, type SessionDir, sessionDir, sessionDirAt } from "./data_dir.ts";
import { FileLock } from "./file_lock.ts";
import type { HubTarget } from "./hub_socket.ts";
import { errorText, fileTail, type Log } from "./log.ts";
import type { SelfCommand } from "./self_command.ts";
import { readEndedFile, readSessionFile, type SessionFile, writeEndedFile, writeSessionFile } from "./session_file.ts";
import { settleDead } from "./settle.ts";

/** Longest time from starting a host to its control socket answering. */
const HOST_START_MS = 20_000;
/** Longest time from a stop request to the host being gone: agent 6 s, acknowledgements 5 s, and some. */
const HOST_STOP_MS = 12_500;
const POLL_MS = 20;
/** Bound of the hub's message (RegisterRunner.storedSessionIds). */
const MAX_STORED = 10_000;
/** Characters of host.log that go into a lost session's detail. */
const LOST_LOG_CHARS = 2_000;

export interface HostTableOptions {
  dataDir: DataDir;
  /** Program and arguments of `__host --session <path>`. */
  hostCommand(sessionPath: string): SelfCommand;
  /** Environment of the hosts. */
  env: Record<string, string>;
  target(): HubTarget | null;
  write: Log;
  /** A session has no host (any more), and this is how it ended. */
  onEnded(sessionId: string, end: SessionEnd): void;
  /** As HOST_STOP_MS. */
  hostStopMs?: number;
}

interface LiveHost {
  sessionId: string;
  dir: SessionDir;
  client: ControlClient;
  /** Known once the host has answered. */
  pid: number | null;
  /** Resolves when the process is gone and its end is known. */
  ended: Promise<SessionEnd>;
}

export class HostTable {
  readonly #options: HostTableOptions;
  readonly #live = new Map<string, LiveHost>();
  readonly #starting = new Set<string>();
  /** Directories of sessions whose end the hub has not got yet, by session id. */
  readonly #unsettled = new Map<string, SessionDir>();
  #settling: Promise<void> = Promise.resolve();
  #isSettling = false;
  #isClosed = false;

  constructor(options: HostTableOptions) {
    this.#options = options;
  }

  liveIds(): string[] {
    return [...this.#live.keys()];
  }

  /** Whether a host lives, or is being started. */
  has(sessionId: string): boolean {
    return this.#live.has(sessionId) || this.#starting.has(sessionId);
  }

  /** How a session's last run ended; null when it is live, unknown, or ended without anybody noticing. */
  endOf(sessionId: string): SessionEnd | null {
    return readEndedFile(sessionDir(this.#options.dataDir, sessionId))?.end ?? null;
  }

  /** Looks through the session directories: connects to hosts that live, notes the ones that died. */
  async adopt(): Promise<void> {
    const { dataDir, write } = this.#options;
    Deno.mkdirSync(dataDir.sessions, { recursive: true, mode: 0o700 });
    const names = [...Deno.readDirSync(dataDir.sessions)].filter((item) => item.isDirectory).map((item) => item.name);
    await Promise.all(names.map(async (name) => {
      const dir = sessionDirAt(join(dataDir.sessions, name));
      try {
        await this.#adoptOne(dir, readSessionFile(dir).sessionId);
      } catch (error) {
        write("warning", `session directory ${dir.path} cannot be used: ${errorText(error)}`);
      }
    }));
  }

  async #adoptOne(dir: SessionDir, sessionId: string): Promise<void> {
    const client = await connectHost(dir, () => !isHeld(dir));
    if (client) {
      this.#options.write("info", "adopted a live session", { sessionId });
      this.#watch(sessionId, dir, client);
      return;
    }
    const ended = readEndedFile(dir);
    if (ended?.isDeleted) Deno.removeSync(dir.path, { recursive: true });
    else if (!ended?.isSettled) {
      this.#noteEnd(sessionId, dir);
    }
  }

  /** Starts a host for a new session. Rejects with a sentence when the process does not come up. */
  async startNew(session: SessionFile): Promise<void> {
    const dir = sessionDir(this.#options.dataDir, session.sessionId);
    writeSessionFile(dir, session);
    await this.#start(dir, session.sessionId);
  }

  /** What this runner knows of a session that it hosts or once hosted; null when there is nothing. */
  sessionFile(sessionId: string): SessionFile | null {
    try {
      const session = readSessionFile(sessionDir(this.#options.dataDir, sessionId));
      return session.sessionId === sessionId ? session : null;
    } catch {
      return null;
    }
  }

  /** Sessions without a host whose directories are here; at most MAX_STORED of them. */
  storedIds(): string[] {
    const { dataDir, write } = this.#options;
    const ids: string[] = [];
    for (const { name, isDirectory } of Deno.readDirSync(dataDir.sessions)) {
      if (!isDirectory) continue;
      try {
        const { sessionId } = readSessionFile(sessionDirAt(join(dataDir.sessions, name)));
        if (!this.has(sessionId)) ids.push(sessionId);
      } catch {
        continue; // said when it was adopted
      }
      if (ids.length < MAX_STORED) continue;
      write("warning", `more than ${MAX_STORED} sessions are kept here; the hub is not asked about the rest`);
      break;
    }
    return ids;
  }

  /** The session was deleted on the hub: its host is stopped, and what this machine keeps of it goes. */
  async remove(sessionId: string): Promise<void> {
    if (this.sessionFile(sessionId) === null) return;
    if (this.#live.has(sessionId)) await this.stop(sessionId, "closed");
    this.#unsettled.delete(sessionId);
    if (this.#isSettling) await this.#settling;
    // Its host may have removed it, as it was told of the deletion, too.
    if (this.sessionFile(sessionId) === null) return;
    const dir = sessionDir(this.#options.dataDir, sessionId);
    using lock = FileLock.tryTake(dir.lock);
    if (!lock) throw new Error("a process still holds it; it goes when this runner connects again");
    Deno.removeSync(dir.path, { recursive: true });
    this.#options.write("info", "removed a session that was deleted on the hub", { sessionId });
  }

  /** Starts a host again on the directory of a session that ended. Does nothing while it lives. */
  async resume(sessionId: string): Promise<void> {
    const host = this.#live.get(sessionId);
    if (host !== undefined) {
      // The hub knows of an end before the process is gone: then it is let go first.
      const status = await host.client.request({ type: "status" }).catch(() => null);
      if (status !== null && status?.activity !== "ended") return;
      await endsWithin(host.ended, this.#options.hostStopMs ?? HOST_STOP_MS);
    }
    if (this.has(sessionId)) return;
    // Being settled right now: let that end first, two writers there cannot be.
    this.#unsettled.delete(sessionId);
    if (this.#isSettling) await this.#settling;
    await this.#start(sessionDir(this.#options.dataDir, sessionId), sessionId);
  }

  async #start(dir: SessionDir, sessionId: string): Promise<void> {
    this.#starting.add(sessionId);
    try {
      const { program, args } = this.#options.hostCommand(dir.path);
      removeIfExists(dir.ended);
      const log = openSync(dir.log, "a", 0o600);
      let isDead = false;
      try {
        const child = spawn(program, args, {
          detached: true,
          stdio: ["ignore", log, log],
          env: this.#options.env,
          cwd: dir.path,
        });
        child.once("exit", () => isDead = true);
        child.once("error", () => isDead = true);
        child.unref();
      } finally {
        closeSync(log);
      }
      const client = await connectHost(dir, () => isDead);
      if (client) {
        this.#watch(sessionId, dir, client);
        return;
      }
      this.#starting.delete(sessionId);
      const isEndedAlready = readEndedFile(dir) !== null;
      const end = await this.#gone(sessionId, dir);
      if (!isEndedAlready) throw new Error(`the session's process did not start: ${end.detail || "it left no log"}`);
    } finally {
      this.#starting.delete(sessionId);
    }
  }

  #watch(sessionId: string, dir: SessionDir, client: ControlClient): void {
    const ended = client.gone.then(() => this.#gone(sessionId, dir));
    const host: LiveHost = { sessionId, dir, client, pid: null, ended };
    this.#live.set(sessionId, host);
    client.request({ type: "status" }).then((status) => host.pid = status?.pid ?? null, () => {});
    ended.catch((error) => this.#options.write("error", `watching ${sessionId} failed: ${errorText(error)}`));
  }

  async #gone(sessionId: string, dir: SessionDir): Promise<SessionEnd> {
    if (this.#isClosed) return { reason: "lost", at: Date.now() };
    // The socket closes a moment before the process ends.
    const deadline = Date.now() + HOST_STOP_MS;
    while (isHeld(dir) && Date.now() < deadline) await pause();
    this.#live.delete(sessionId);
    const ended = readEndedFile(dir);
    if (ended?.isDeleted) {
      Deno.removeSync(dir.path, { recursive: true });
      return ended.end;
    }
    const end = ended?.isSettled ? ended.end : this.#noteEnd(sessionId, dir);
    this.#options.onEnded(sessionId, end);
    this.settle();
    return end;
  }

  /** Makes sure that a dead session's end is written down, and that the hub will get it. */
  #noteEnd(sessionId: string, dir: SessionDir): SessionEnd {
    let end = readEndedFile(dir)?.end;
    if (!end) {
      end = { reason: "lost", detail: fileTail(dir.log, LOST_LOG_CHARS), at: Date.now() };
      writeEndedFile(dir, { end, isSettled: false, isDeleted: false });
    }
    this.#unsettled.set(sessionId, dir);
    return end;
  }

  /** Delivers the journals of dead sessions, one after another, as far as the hub can be reached. */
  settle(): void {
    if (this.#isSettling || this.#isClosed || this.#unsettled.size === 0 || this.#options.target() === null) return;
    this.#isSettling = true;
    this.#settling = this.#settleAll().finally(() => this.#isSettling = false);
  }

  async #settleAll(): Promise<void> {
    for (const [sessionId, dir] of [...this.#unsettled]) {
      if (this.#isClosed) return;
      if (!this.#unsettled.has(sessionId) || this.has(sessionId)) continue;
      try {
        const end = readEndedFile(dir)?.end ?? this.#noteEnd(sessionId, dir);
        const ended = await settleDead(dir, end, { target: () => this.#target(), write: this.#options.write });
        if (ended && !ended.isSettled) continue;
        this.#unsettled.delete(sessionId);
        if (ended?.isDeleted) Deno.removeSync(dir.path, { recursive: true });
      } catch (error) {
        this.#unsettled.delete(sessionId);
        this.#options.write("error", `the journal of ${sessionId} cannot be delivered: ${errorText(error)}`);
      }
    }
  }

  #target(): HubTarget {
    const target = this.#options.target();
    if (!target) throw new Error("this runner is not logged in to a hub");
    return target;
  }

  /** Tells every host which hub and key to use, and to try now. */
  tellHub(target: HubTarget): void {
    for (const host of this.#live.values()) {
      host.client.request({ type: "hub", ...target }).catch((error) =>
        this.#options.write("warning", `session ${host.sessionId}: ${errorText(error)}`)
      );
    }
  }

  /** Ends a session: its agent is stopped, its end goes to the hub. A host that does not end in time is killed. */
  async stop(sessionId: string, reason: SessionEnd["reason"]): Promise<void> {
    const host = this.#live.get(sessionId);
    if (!host) {
      this.#options.onEnded(sessionId, this.endOf(sessionId) ?? { reason, at: Date.now() });
      return;
    }
    // The host may be gone before it answers; what counts is that it goes.
    host.client.request({ type: "stop", reason }).catch(() => {});
    if (await endsWithin(host.ended, this.#options.hostStopMs ?? HOST_STOP_MS)) return;
    this.#options.write("error", "a session's process does not end and is killed", { sessionId, pid: host.pid });
    const end: SessionEnd = { reason, detail: "its process did not end by itself and was killed", at: Date.now() };
    if (!readEndedFile(host.dir)) writeEndedFile(host.dir, { end, isSettled: false, isDeleted: false });
    if (host.pid !== null) Deno.kill(host.pid, "SIGKILL");
    if (!await endsWithin(host.ended, HOST_STOP_MS)) throw new Error("the session's process cannot be ended");
  }

  /** Ends every session, at the same time. */
  async stopAll(reason: SessionEnd["reason"]): Promise<void> {
    await Promise.all(
      this.liveIds().map((sessionId) =>
        this.stop(sessionId, reason).catch((error) =>
          this.#options.write("error", `session ${sessionId}: ${errorText(error)}`)
        )
      ),
    );
  }

  /** Lets go of the hosts, which live on. */
  close(): void {
    this.#isClosed = true;
    for (const host of this.#live.values()) host.client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function endsWithin(ended: Promise<unknown>, maxMs: number): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  const timer = setTimeout(() => late.resolve(false), maxMs);
  try {
    return await Promise.race([ended.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a process holds the session. */
function isHeld(dir: SessionDir): boolean {
  const lock = FileLock.tryTake(dir.lock);
  lock?.release();
  return lock === null;
}

/** Connects to a host's control socket, waiting while it comes up. Null when `isDead` says that there is none, or after HOST_START_MS. */
async function connectHost(dir: SessionDir, isDead: () => boolean): Promise<ControlClient | null> {
  const deadline = Date.now() + HOST_START_MS;
  while (true) {
    try {
      return await ControlClient.connect(dir.socket);
    } catch {
      if (isDead() || Date.now() >= deadline) return null;
    }
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
