/** How lists of sessions are arranged. Pure, and stable: a row moves only when something that a person cares about changes. */
import type { RunnerInfo, SessionInfo } from "@/protocol/shared.ts";

export interface FolderGroup {
  cwd: string;
  /** Sessions that live, newest first. */
  open: SessionInfo[];
  /** Sessions whose agent is gone, newest first. */
  ended: SessionInfo[];
}

export interface RunnerGroup {
  /** Empty for sessions whose runner is not known any more. */
  runnerId: string;
  name: string;
  runner: RunnerInfo | null;
  folders: FolderGroup[];
}

/** Whether a session waits for a person. */
export function needsAttention(session: SessionInfo): boolean {
  return session.activity !== "ended" && (session.attention > 0 || session.activity === "waiting");
}

/** Sessions that wait for a person, the longest waiting first. */
export function attentionFirst(sessions: Iterable<SessionInfo>): SessionInfo[] {
  return [...sessions].filter(needsAttention).sort((a, b) =>
    a.lastActivityAt - b.lastActivityAt || (a.sessionId < b.sessionId ? -1 : 1)
  );
}

/**
 * Groups sessions by runner, then by folder. Online runners come first, then by name; folders and sessions by their
 * newest start. Not by last activity: rows of working sessions would swap places under the finger.
 */
export function groupSessions(sessions: Iterable<SessionInfo>, runners: Iterable<RunnerInfo>): RunnerGroup[] {
  const known = new Map([...runners].map((runner) => [runner.runnerId, runner]));
  const groups = new Map<string, RunnerGroup>();
  const newestFirst = [...sessions].sort((a, b) => b.startedAt - a.startedAt || (a.sessionId < b.sessionId ? -1 : 1));
  for (const session of newestFirst) {
    const runnerId = session.runnerId ?? "";
    const runner = known.get(runnerId) ?? null;
    const name = runner?.name ?? session.runnerName ?? "Unknown runner";
    const group = getOrAdd(groups, runnerId, () => ({ runnerId, name, runner, folders: [] }));
    let folder = group.folders.find((candidate) => candidate.cwd === session.cwd);
    if (!folder) group.folders.push(folder = { cwd: session.cwd, open: [], ended: [] });
    (session.activity === "ended" ? folder.ended : folder.open).push(session);
  }
  const rank = (group: RunnerGroup) => (group.runner?.isConnected ? 0 : 1);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

/** Folders of earlier sessions on a runner, most recently started first, each once. */
export function recentFolders(sessions: Iterable<SessionInfo>, runnerId: string, max = 6): string[] {
  const own = [...sessions].filter((session) => session.runnerId === runnerId);
  own.sort((a, b) => b.startedAt - a.startedAt);
  return [...new Set(own.map((session) => session.cwd))].slice(0, max);
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
