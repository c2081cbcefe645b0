import assert from "node:assert/strict";
import * as z from "zod";
import { AgentInfo } from "@/protocol/mod.ts";
import { describeAgents, type Machine, overrideOf, presets, resolveLaunch } from "./presets.ts";

function machine(programs: string[], env: Record<string, string> = {}, files: string[] = []): Machine {
  return {
    env: { PATH: "/bin", HOME: "/home/ann", ...env },
    isWindows: false,
    isExecutable: (path) => programs.includes(path),
    exists: (path) => files.includes(path),
    demoCommand: ["/bin/perch", "__demo-agent"],
    nodeVersion: null,
  };
}

Deno.test("with nothing installed only the demo works, and each other agent says how to get it", () => {
  const agents = z.array(AgentInfo).parse(describeAgents(machine([])));
  assert.deepEqual(agents.filter((agent) => agent.available).map((agent) => agent.id), ["demo"]);
  assert.equal(agents.at(-1)?.isDemo, true);
  for (const agent of agents) if (!agent.available) assert.match(agent.missing ?? "", /npx.*npm install -g.*\.$/);
});

Deno.test("a program on the PATH goes before npx; npx packages are pinned", () => {
  const both = machine(["/bin/gemini", "/bin/npx"], { GEMINI_API_KEY: "k" });
  assert.deepEqual(resolveLaunch({ agentId: "gemini" }, both).command, ["/bin/gemini", "--acp"]);
  const npx = resolveLaunch({ agentId: "opencode" }, machine(["/bin/npx"]));
  assert.deepEqual(npx.command, ["/bin/npx", "-y", "opencode-ai@1.18.33", "acp"]);
  assert.equal(npx.isThroughNpx, true);
  for (const preset of presets) assert.match(preset.npm.version, /^\d+\.\d+\.\d+$/);
});

Deno.test("through npx an agent counts as available only where it is set up", () => {
  const find = (m: Machine) => describeAgents(m).find((agent) => agent.id === "claude");
  assert.match(find(machine(["/bin/npx"]))?.missing ?? "", /Claude Code is not set up/);
  assert.equal(find(machine(["/bin/npx", "/bin/claude"]))?.available, true);
  assert.equal(find(machine(["/bin/npx"], { ANTHROPIC_API_KEY: "k" }))?.available, true);
  assert.equal(find(machine(["/bin/npx"], {}, ["/home/ann/.claude/.credentials.json"]))?.version, "0.100.0");
});

Deno.test("through npx a Node that is too old is named; a program on the PATH brings its own", () => {
  const pi = (nodeVersion: string, ...programs: string[]) =>
    describeAgents({ ...machine(["/bin/npx", ...programs]), nodeVersion }).find((agent) => agent.id === "pi");
  assert.match(pi("v20.20.2")?.missing ?? "", /pi needs Node 22\.19\.0 or newer and this machine has v20\.20\.2/);
  assert.equal(pi("v22.19.0")?.available, true);
  assert.equal(pi("v24.1.0")?.available, true);
  assert.equal(pi("v20.20.2", "/bin/pi")?.available, true);
});

Deno.test("Claude's retries are cut short unless the user says otherwise", () => {
  const launch = (env: Record<string, string>) =>
    resolveLaunch({ agentId: "claude" }, machine(["/bin/claude-agent-acp"], env)).env;
  assert.equal(launch({}).CLAUDE_CODE_MAX_RETRIES, "4");
  assert.equal(launch({ CLAUDE_CODE_MAX_RETRIES: "9" }).CLAUDE_CODE_MAX_RETRIES, "9");
});

Deno.test("overrides: a path or a JSON array; anything else names the variable", () => {
  const env = (value: string) => ({ env: { PERCH_AGENT_PI_COMMAND: value } });
  assert.deepEqual(overrideOf("pi", env("/opt/my pi")), ["/opt/my pi"]);
  assert.deepEqual(overrideOf("pi", env('["node", "pi.js"]')), ["node", "pi.js"]);
  assert.equal(overrideOf("claude", env("x")), null);
  assert.throws(() => overrideOf("pi", env("[1]")), /PERCH_AGENT_PI_COMMAND must be a path or a JSON array/);
  const launch = resolveLaunch({ agentId: "pi" }, machine([], { PERCH_AGENT_PI_COMMAND: "/opt/pi" }));
  assert.deepEqual([launch.command, launch.transport], [["/opt/pi"], "pi-rpc"]);
});

Deno.test("custom commands, the demo, and what does not exist", () => {
  const custom = resolveLaunch({ agentId: "custom", command: ["mine", "--acp"] }, machine(["/bin/mine"]));
  assert.deepEqual([custom.command, custom.name, custom.transport], [["/bin/mine", "--acp"], "mine", "acp"]);
  assert.throws(() => resolveLaunch({ agentId: "custom" }, machine([])), /needs a command/);
  assert.deepEqual(resolveLaunch({ agentId: "demo" }, machine([])).command, ["/bin/perch", "__demo-agent"]);
  assert.throws(() => resolveLaunch({ agentId: "hal" }, machine([])), /no agent "hal"; this runner knows pi, claude/);
  assert.throws(() => resolveLaunch({ agentId: "kimi" }, machine([])), /neither kimi nor npx is on the PATH/);
});
