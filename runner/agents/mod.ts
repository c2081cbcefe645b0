/** The agents that a runner can start, behind one seam. */
import { type AgentInfo, terminalAgentId } from "@/protocol/mod.ts";
import { selfCommand, selfOptions } from "../self_command.ts";
import { AcpAgent } from "./acp.ts";
import { type Agent, type AgentContext, AgentStartError } from "./agent.ts";
import { isExecutableFile } from "./path_lookup.ts";
import { PiAgent } from "./pi.ts";
import { PtyAgent } from "./pty_agent.ts";
import { describeAgents, type Machine, resolveLaunch } from "./presets.ts";

export * from "./agent.ts";
export { runDemoAgent } from "./demo_agent.ts";

/** How long an agent may take to start; npx may have to download some 400 MB first. */
const startTimeoutMs = 60_000;
const npxStartTimeoutMs = 10 * 60_000;
const nodeVersionTimeoutMs = 5_000;

/** The argument after which this program is the demo agent: `perch __demo-agent`. */
export const demoArgument = "__demo-agent";

/**
 * Makes the adapter for the launch in `context`; `start` starts its process. Throws AgentStartError when there is no such agent
 * or it is not installed; the message says how to get it.
 */
export function createAgent(context: AgentContext): Agent {
  if (context.launch.agentId === terminalAgentId) {
    if (context.terminalSocket === undefined) throw new AgentStartError("terminals cannot be opened here", "");
    return new PtyAgent(context, {
      terminalCommand: selfCommand(["__terminal"], selfOptions()),
      socketPath: context.terminalSocket,
    });
  }
  const launch = resolveLaunch(context.launch, machineOf(context.env));
  const timeoutMs = launch.isThroughNpx ? npxStartTimeoutMs : startTimeoutMs;
  if (launch.transport === "pi-rpc") {
    return new PiAgent(context, {
      name: launch.name,
      command: launch.command,
      env: launch.env,
      startTimeoutMs: timeoutMs,
    });
  }
  const offers = new Set((context.env.PERCH_ACP_OFFER ?? "").split(",").map((offer) => offer.trim()));
  return new AcpAgent(context, {
    agentId: launch.agentId,
    name: launch.name,
    command: launch.command,
    env: launch.env,
    startTimeoutMs: timeoutMs,
    // Agents on the same machine do better without; a custom one may ask for them.
    offers: { files: offers.has("fs"), terminals: offers.has("terminal") },
  });
}

/** The agents of this machine: what can be started, and for the rest what is missing and how to get it. */
export async function listAgents(options: { env: Record<string, string> }): Promise<AgentInfo[]> {
  return describeAgents(machineOf(options.env, await nodeVersion(options.env)));
}

/** What `node --version` says; null when there is no node or it does not answer. */
async function nodeVersion(env: Record<string, string>): Promise<string | null> {
  try {
    const output = await new Deno.Command("node", {
      args: ["--version"],
      env,
      clearEnv: true,
      stderr: "null",
      signal: AbortSignal.timeout(nodeVersionTimeoutMs),
    }).output();
    return output.success ? new TextDecoder().decode(output.stdout).trim() : null;
  } catch {
    return null;
  }
}

function machineOf(env: Record<string, string>, node: string | null = null): Machine {
  const self = selfCommand([demoArgument], selfOptions());
  return {
    env,
    nodeVersion: node,
    isWindows: Deno.build.os === "windows",
    isExecutable: isExecutableFile,
    exists: (path) => {
      try {
        Deno.statSync(path);
        return true;
      } catch {
        return false;
      }
    },
    demoCommand: [self.program, ...self.args],
  };
}
