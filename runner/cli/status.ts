/** `perch status` and `perch agents`. */
import { join } from "node:path";
import * as z from "zod";
import type { AgentInfo } from "@/protocol/mod.ts";
import { hubSettings, readConfig, runnerName } from "../config.ts";
import { ControlClient, type HostStatus } from "../control.ts";
import { type DataDir, dataDir, sessionDirAt } from "../data_dir.ts";
import { errorText } from "../log.ts";
import { readSessionFile } from "../session_file.ts";
import { runningRunner } from "../supervisor.ts";
import type { CommandValues } from "./arguments.ts";

/** Longest wait for the hub's answer. */
const HUB_MS = 5_000;

const Healthz = z.object({ status: z.string(), version: z.string() });

interface StatusReport {
  hub: {
    url: string | null;
    isReachable: boolean;
    version: string | null;
    error: string | null;
    isLoggedIn: boolean;
    userName: string | null;
  };
  runner: { name: string; isRunning: boolean; supervisorPid: number | null; daemonPid: number | null };
  sessions: (HostStatus & { cwd: string; agent: string })[];
  dataDir: string;
}

/** Prints what runs here. Exit code 0 when the runner runs and the hub answers, else 1. */
export async function status(values: CommandValues): Promise<number> {
  const env = Deno.env.toObject();
  const dir = dataDir(values["data-dir"], env);
  const config = readConfig(dir.config);
  const { hubUrl, apiKey, userName } = hubSettings(config, env, values.hub);
  const running = runningRunner(dir);
  const report: StatusReport = {
    hub: { url: hubUrl, ...await askHub(hubUrl), isLoggedIn: apiKey !== null, userName },
    runner: {
      name: runnerName(config),
      isRunning: running !== null,
      supervisorPid: running?.supervisorPid || null,
      daemonPid: running?.daemonPid ?? null,
    },
    sessions: await liveSessions(dir),
    dataDir: dir.path,
  };
  console.log(values.json ? JSON.stringify(report, null, 2) : inWords(report));
  return report.runner.isRunning && report.hub.isReachable ? 0 : 1;
}

async function askHub(
  hubUrl: string | null,
): Promise<{ isReachable: boolean; version: string | null; error: string | null }> {
  if (hubUrl === null) return { isReachable: false, version: null, error: "no hub is named" };
  try {
    const response = await fetch(`${hubUrl}/healthz`, { signal: AbortSignal.timeout(HUB_MS) });
    const health = Healthz.safeParse(await response.json());
    if (!health.success) return { isReachable: false, version: null, error: "this is not a Perch hub" };
    return { isReachable: true, version: health.data.version, error: null };
  } catch (error) {
    return { isReachable: false, version: null, error: errorText(error) };
  }
}

async function liveSessions(dir: DataDir): Promise<StatusReport["sessions"]> {
  let names: string[];
  try {
    names = [...Deno.readDirSync(dir.sessions)].filter((item) => item.isDirectory).map((item) => item.name);
  } catch {
    return [];
  }
  const found = await Promise.all(names.map(async (name) => {
    const session = sessionDirAt(join(dir.sessions, name));
    try {
      using client = await ControlClient.connect(session.socket);
      const answer = await client.request({ type: "status" });
      const file = readSessionFile(session);
      return answer ? [{ ...answer, cwd: file.cwd, agent: file.agent.name }] : [];
    } catch {
      return [];
    }
  }));
  return found.flat();
}

function inWords(report: StatusReport): string {
  const { hub, runner, sessions } = report;
  const reachable = hub.isReachable ? `reachable (version ${hub.version})` : `not reachable: ${hub.error}`;
  const login = hub.isLoggedIn ? `logged in${hub.userName ? ` as ${hub.userName}` : ""}` : "not logged in";
  const lines = [
    hub.url === null ? "hub:       none; run perch login <hub-url>" : `hub:       ${hub.url}, ${reachable}, ${login}`,
    `runner:    ${runner.name}, ${
      runner.isRunning
        ? `running (daemon ${runner.daemonPid ?? "is being started"})`
        : "not running; start it with perch runner"
    }`,
    `sessions:  ${sessions.length === 0 ? "none live" : `${sessions.length} live`}`,
    ...sessions.map((session) =>
      `  ${session.sessionId}  ${session.activity.padEnd(8)} ${session.agent} in ${session.cwd}` +
      (session.isRegistered ? "" : " (not connected to the hub)")
    ),
  ];
  return lines.join("\n");
}

/** Prints the agents of this machine. Exit code 0. */
export async function agents(values: CommandValues, listAgents: () => Promise<AgentInfo[]>): Promise<number> {
  const found = await listAgents();
  if (values.json) console.log(JSON.stringify(found, null, 2));
  for (const agent of values.json ? [] : found) {
    const label = `${agent.name}${agent.isDemo ? " (a demonstration, no real agent)" : ""}`;
    const state = agent.available
      ? `available${agent.version ? ` (${agent.version})` : ""}`
      : `missing: ${agent.missing ?? ""}`;
    console.log(`${agent.id.padEnd(12)} ${label.padEnd(24)} ${state}`);
  }
  return 0;
}
