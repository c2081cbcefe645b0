/**
 * The agents that a runner offers, and the exact command that starts each (reference agents.md §1 and §3): a program on the
 * PATH, else a pinned npm package through npx. Pure: what exists on the machine is asked of a `Machine`.
 */
import { type AgentInfo, type AgentLaunch, compareSemver } from "@/protocol/mod.ts";
import { join } from "node:path";
import { AgentStartError } from "./agent.ts";
import { findOnPath } from "./path_lookup.ts";
import { clip } from "./tool_output.ts";

export interface Preset {
  id: string;
  name: string;
  transport: AgentInfo["transport"];
  /** Program to look for on the PATH. */
  program: string;
  args: string[];
  /** npm package with its exact version, and the oldest Node that runs it where the usual 20 is too old. */
  npm: { name: string; version: string; minNode?: string };
  /** What the npx way needs besides npx: any one of these. None: nothing. */
  credentials: { programs: string[]; variables: string[]; homeFiles: string[] } | null;
  /** How to get it, as the end of a sentence. */
  howToGet: string;
  /** Variables that are set unless the user has set them. */
  defaults?: Record<string, string>;
}

export const presets: readonly Preset[] = [
  {
    id: "pi",
    name: "pi",
    transport: "pi-rpc",
    program: "pi",
    args: ["--mode", "rpc"],
    npm: { name: "@earendil-works/pi-coding-agent", version: "1.5.2", minNode: "22.19.0" },
    credentials: null,
    howToGet: "install Node 22.19 or newer, then run: npm install -g @earendil-works/pi-coding-agent",
  },
  {
    id: "claude",
    name: "Claude Code",
    transport: "acp",
    program: "claude-agent-acp",
    args: [],
    npm: { name: "@agentclientprotocol/claude-agent-acp", version: "0.100.0" },
    credentials: {
      programs: ["claude"],
      variables: [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
      ],
      homeFiles: [".claude/.credentials.json"],
    },
    howToGet: "run: npm install -g @anthropic-ai/claude-code, then sign in with: claude",
    // By default it retries a refused key for minutes without a word (reference agents.md §5).
    defaults: { CLAUDE_CODE_MAX_RETRIES: "4" },
  },
  {
    id: "codex",
    name: "Codex",
    transport: "acp",
    program: "codex-acp",
    args: [],
    npm: { name: "@agentclientprotocol/codex-acp", version: "2.6.0" },
    credentials: {
      programs: ["codex"],
      variables: ["OPENAI_API_KEY", "CODEX_API_KEY"],
      homeFiles: [".codex/auth.json", ".codex/config.toml"],
    },
    howToGet: "run: npm install -g @openai/codex, then sign in with: codex login",
  },
  {
    id: "gemini",
    name: "Gemini CLI",
    transport: "acp",
    program: "gemini",
    args: ["--acp"],
    npm: { name: "@google/gemini-cli", version: "0.61.0" },
    credentials: {
      programs: [],
      variables: ["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"],
      homeFiles: [".gemini/oauth_creds.json", ".gemini/settings.json"],
    },
    howToGet: "run: npm install -g @google/gemini-cli, then sign in with: gemini",
  },
  {
    id: "opencode",
    name: "opencode",
    transport: "acp",
    program: "opencode",
    args: ["acp"],
    npm: { name: "opencode-ai", version: "1.18.33" },
    credentials: null,
    howToGet: "run: npm install -g opencode-ai",
  },
  {
    id: "kimi",
    name: "Kimi Code",
    transport: "acp",
    program: "kimi",
    args: ["acp"],
    npm: { name: "@moonshot-ai/kimi-code", version: "2.1.0", minNode: "22.19.0" },
    credentials: { programs: [], variables: [], homeFiles: [".kimi-code/config.toml"] },
    howToGet: "install Node 22.19 or newer, run: npm install -g @moonshot-ai/kimi-code, then sign in with: kimi login",
  },
  {
    id: "copilot",
    name: "GitHub Copilot CLI",
    transport: "acp",
    program: "copilot",
    args: ["--acp"],
    npm: { name: "@github/copilot", version: "1.0.102" },
    credentials: {
      programs: [],
      variables: ["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "COPILOT_PROVIDER_BASE_URL"],
      homeFiles: [".copilot/config.json"],
    },
    howToGet: "run: npm install -g @github/copilot, then sign in with: copilot login",
  },
  {
    id: "qwen",
    name: "Qwen Code",
    transport: "acp",
    program: "qwen",
    args: ["--acp"],
    npm: { name: "@qwen-code/qwen-code", version: "0.24.4" },
    credentials: {
      programs: [],
      variables: ["OPENAI_API_KEY", "DASHSCOPE_API_KEY"],
      homeFiles: [".qwen/oauth_creds.json", ".qwen/settings.json"],
    },
    howToGet: "run: npm install -g @qwen-code/qwen-code, then sign in with: qwen",
  },
];

export const demoId = "demo";
export const customId = "custom";

/** What presets ask of the machine that they would run on. */
export interface Machine {
  env: Record<string, string>;
  isWindows: boolean;
  isExecutable(path: string): boolean;
  exists(path: string): boolean;
  /** Version of the node on the PATH ("v20.20.2"); null when it is not known. */
  nodeVersion: string | null;
  /** Program and arguments that run Perch's own demo agent. */
  demoCommand: string[];
}

/** A command that starts an agent. */
export interface ResolvedLaunch {
  agentId: string;
  name: string;
  transport: AgentInfo["transport"];
  /** Program and arguments; run without a shell. */
  command: string[];
  env: Record<string, string>;
  /** npx may have to download it first. */
  isThroughNpx: boolean;
  isDemo: boolean;
}

/** The agents with their state on this machine; the demo agent, which always works, comes last. */
export function describeAgents(machine: Machine): AgentInfo[] {
  const described = presets.map((preset): AgentInfo => {
    const found = tryPreset(preset, machine);
    return {
      id: preset.id,
      name: preset.name,
      transport: preset.transport,
      available: "command" in found,
      ...("missing" in found ? { missing: found.missing } : {}),
      ...("command" in found && found.isThroughNpx ? { version: preset.npm.version } : {}),
    };
  });
  return [...described, { id: demoId, name: "Demo agent", transport: "acp", available: true, isDemo: true }];
}

/** The command for a launch. Throws AgentStartError that says what is missing and how to get it. */
export function resolveLaunch(launch: AgentLaunch, machine: Machine): ResolvedLaunch {
  const { agentId } = launch;
  if (agentId === customId || agentId.startsWith(`${customId}:`)) {
    const program = launch.command?.[0];
    if (!launch.command || program === undefined) {
      throw new AgentStartError(
        `a custom agent needs a command: program and arguments, for example ["my-agent", "--acp"]`,
        "",
      );
    }
    return {
      agentId,
      name: program.split(/[/\\]/).at(-1) ?? program,
      transport: "acp",
      command: [findProgram(program, machine) ?? program, ...launch.command.slice(1)],
      env: machine.env,
      isThroughNpx: false,
      isDemo: false,
    };
  }
  if (agentId === demoId) {
    const command = overrideOf(demoId, machine) ?? machine.demoCommand;
    return {
      agentId,
      name: "Demo agent",
      transport: "acp",
      command,
      env: machine.env,
      isThroughNpx: false,
      isDemo: true,
    };
  }
  const preset = presets.find((candidate) => candidate.id === agentId);
  if (!preset) {
    const known = [...presets.map((candidate) => candidate.id), demoId, customId].join(", ");
    throw new AgentStartError(`there is no agent "${agentId}"; this runner knows ${known}`, "");
  }
  const found = findPreset(preset, machine);
  if ("missing" in found) throw new AgentStartError(found.missing, "");
  return {
    agentId,
    name: preset.name,
    transport: preset.transport,
    ...found,
    env: { ...preset.defaults, ...machine.env },
    isDemo: false,
  };
}

/** As findPreset, with a broken override told as what is missing. */
function tryPreset(preset: Preset, machine: Machine): ReturnType<typeof findPreset> {
  try {
    return findPreset(preset, machine);
  } catch (error) {
    if (error instanceof AgentStartError) return { missing: sentence(error.message) };
    throw error;
  }
}

function findPreset(
  preset: Preset,
  machine: Machine,
): { command: string[]; isThroughNpx: boolean } | { missing: string } {
  const override = overrideOf(preset.id, machine);
  if (override) return { command: override, isThroughNpx: false };
  const program = findProgram(preset.program, machine);
  if (program) return { command: [program, ...preset.args], isThroughNpx: false };
  const npx = findProgram("npx", machine);
  if (!npx) {
    return {
      missing: sentence(
        `${preset.name} was not found: neither ${preset.program} nor npx is on the PATH; ${preset.howToGet}`,
      ),
    };
  }
  if (preset.credentials && !hasCredentials(preset.credentials, machine)) {
    return { missing: sentence(`${preset.name} is not set up on this machine: ${preset.howToGet}`) };
  }
  const { minNode } = preset.npm;
  if (minNode !== undefined && machine.nodeVersion !== null && isOlder(machine.nodeVersion, minNode)) {
    return {
      missing: sentence(
        `${preset.name} needs Node ${minNode} or newer and this machine has ${machine.nodeVersion}; ${preset.howToGet}`,
      ),
    };
  }
  return {
    command: [npx, "-y", `${preset.npm.name}@${preset.npm.version}`, ...preset.args],
    isThroughNpx: true,
  };
}

/** Whether a Node version ("v20.20.2") is older than another ("22.19.0"). */
function isOlder(version: string, than: string): boolean {
  return (compareSemver(version.replace(/^v/, ""), than) ?? 0) < 0;
}

function hasCredentials(needs: NonNullable<Preset["credentials"]>, machine: Machine): boolean {
  const home = machine.env.HOME ?? machine.env.USERPROFILE;
  return needs.variables.some((name) => Boolean(machine.env[name])) ||
    needs.programs.some((program) => findProgram(program, machine) !== null) ||
    (home !== undefined && needs.homeFiles.some((file) => machine.exists(join(home, file))));
}

/**
 * The command in `PERCH_AGENT_<ID>_COMMAND`: a JSON array of program and arguments, or the path of a program that needs none.
 * Throws AgentStartError when it is neither.
 */
export function overrideOf(agentId: string, machine: Pick<Machine, "env">): string[] | null {
  const variable = `PERCH_AGENT_${agentId.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}_COMMAND`;
  const value = machine.env[variable]?.trim();
  if (!value) return null;
  if (!value.startsWith("[")) return [value];
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    parsed = null;
  }
  const isCommand = Array.isArray(parsed) && parsed.length > 0 && parsed.every((part) => typeof part === "string");
  if (!isCommand) {
    throw new AgentStartError(
      `${variable} must be a path or a JSON array of strings, for example ["node", "agent.js"]`,
      "",
    );
  }
  return (parsed as string[]).slice();
}

function findProgram(name: string, machine: Machine): string | null {
  return findOnPath(name, {
    path: machine.env.PATH ?? machine.env.Path ?? "",
    isWindows: machine.isWindows,
    ...(machine.env.PATHEXT === undefined ? {} : { pathExt: machine.env.PATHEXT }),
    isExecutable: (path) => machine.isExecutable(path),
  });
}

function sentence(text: string): string {
  return clip(`${text}.`, 1_000);
}
