/**
 * The agent of the fault tests: real ACP over stdio, a stream that is a function of the prompt (steps.ts), as fast as it is
 * asked for. It loads earlier conversations (there is nothing to remember) and leaves when its stdin ends.
 */
import { agent, type AgentContext, ndJsonStream } from "@agentclientprotocol/sdk";
import { type Order, type Step, stepOf } from "./steps.ts";

async function stream(order: Order, sessionId: string, client: AgentContext): Promise<void> {
  for (let number = order.from; number <= order.to; number++) {
    await run(stepOf(order.seed, number), number, sessionId, client);
    await new Promise((resolve) => setTimeout(resolve, order.paceMs));
  }
}

async function run(step: Step, number: number, sessionId: string, client: AgentContext): Promise<void> {
  for (const text of step.message) {
    await client.notify("session/update", {
      sessionId,
      update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text } },
    });
  }
  const { toolCallId } = step;
  await client.notify("session/update", {
    sessionId,
    update: {
      sessionUpdate: "tool_call",
      toolCallId,
      title: `Tool ${number}`,
      kind: "execute",
      status: "pending",
      rawInput: { number },
    },
  });
  await client.notify("session/update", {
    sessionId,
    update: { sessionUpdate: "tool_call_update", toolCallId, status: "in_progress" },
  });
  for (const data of step.output) {
    await client.notify("session/update", {
      sessionId,
      update: { sessionUpdate: "tool_call_update", toolCallId, _meta: { terminal_output: { data } } },
    });
  }
  await client.notify("session/update", {
    sessionId,
    update: { sessionUpdate: "tool_call_update", toolCallId, status: "completed" },
  });
}

const connection = agent({ name: "perch-faults" })
  .onRequest("initialize", () => ({
    protocolVersion: 1,
    agentInfo: { name: "perch-faults", version: "1.0.0" },
    agentCapabilities: { loadSession: true },
    authMethods: [],
  }))
  .onRequest("session/new", () => ({ sessionId: crypto.randomUUID() }))
  .onRequest("session/load", () => ({}))
  .onRequest("session/prompt", async ({ params, client }) => {
    const text = params.prompt.flatMap((block) => block.type === "text" ? block.text : []).join("");
    await stream(JSON.parse(text), params.sessionId, client);
    return { stopReason: "end_turn" };
  })
  .connect(ndJsonStream(Deno.stdout.writable, Deno.stdin.readable));
await connection.closed;
Deno.exit(0);
