/** The front door: createAgent and listAgents, with the demo agent run as this very program. */
import assert from "node:assert/strict";
import { createAgent, listAgents } from "@/runner/agents/mod.ts";
import { ensureAgent } from "./install.ts";
import { memoryContext } from "./memory_session.ts";

Deno.test("createAgent runs the demo agent as this program, and a custom command by the same way", async () => {
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const env = { ...Deno.env.toObject(), PERCH_DEMO_TOKEN_MS: "0", PERCH_DATA_DIR: cwd };
  const demo = memoryContext(cwd, { env, agentId: "demo" });
  const agent = createAgent(demo);
  await agent.start();
  assert.deepEqual(await agent.prompt({ text: "plan", attachments: [] }), { outcome: "completed" });
  assert.equal(demo.session.meta().plan.length, 3);
  await agent.stop();
  assert.equal((await agent.exited).code, 0);

  const program = new URL("../../runner/agents/demo_agent.ts", import.meta.url).pathname;
  const custom = memoryContext(cwd, { env, agentId: "custom", command: [Deno.execPath(), "run", "-A", program] });
  const same = createAgent(custom);
  await same.start();
  assert.deepEqual(await same.prompt({ text: "help", attachments: [] }), { outcome: "completed" });
  await same.stop();
  await Deno.remove(cwd, { recursive: true });
});

Deno.test("an override in the environment makes an agent available and starts it", async () => {
  const cwd = await Deno.realPath(await Deno.makeTempDir());
  const command = [...await ensureAgent("pi"), "--no-session"];
  const env = {
    ...Deno.env.toObject(),
    PATH: "/nowhere",
    HOME: cwd,
    PI_CODING_AGENT_DIR: cwd,
    PI_OFFLINE: "1",
    PERCH_AGENT_PI_COMMAND: JSON.stringify(command),
    PERCH_AGENT_KIMI_COMMAND: "[not json",
  };
  const agents = await listAgents({ env });
  assert.deepEqual(agents.filter((agent) => agent.available).map((agent) => agent.id), ["pi", "demo"]);
  assert.match(agents.find((agent) => agent.id === "kimi")?.missing ?? "", /PERCH_AGENT_KIMI_COMMAND must be/);
  const context = memoryContext(cwd, { env, agentId: "pi" });
  const agent = createAgent(context);
  await agent.start();
  assert.equal(context.session.meta().can.resume, false);
  await agent.stop();
  await Deno.remove(cwd, { recursive: true });
});

Deno.test("an agent that is not there is refused with what to do", () => {
  const context = memoryContext("/", { env: { PATH: "/nowhere" }, agentId: "gemini" });
  assert.throws(() => createAgent(context), /Gemini CLI was not found.*npm install -g @google\/gemini-cli/);
});
