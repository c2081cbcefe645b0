/** Hand-made ACP agents for tests: what to send when a request comes, and the messages that they send. */
import assert from "node:assert/strict";
import type { TurnEnd } from "@/runner/agents/agent.ts";
import { AcpAgent } from "@/runner/agents/acp.ts";
import { FakePipes, type Player } from "./fake_pipes.ts";
import { memoryContext, type MemorySession } from "./memory_session.ts";
import type { Json } from "./transcript.ts";

export type Send = (message: Json | string) => void;

/** A scripted agent: what it sends when a request comes, by method. Replies with `{}` where nothing is said. */
export class Script implements Player {
  readonly received: Json[] = [];
  readonly #send: Send;
  readonly #on: Record<string, (request: Json, reply: (result: Json) => void, send: Send, script: Script) => void>;

  constructor(send: Send, on: Script["handlers"]) {
    this.#send = send;
    this.#on = on;
  }

  get handlers(): Record<string, (request: Json, reply: (result: Json) => void, send: Send, script: Script) => void> {
    return this.#on;
  }

  advance(): void {}

  receive(message: Json): void {
    this.received.push(message);
    const method = typeof message.method === "string" ? message.method : "reply";
    const reply = (result: Json) =>
      this.#send({ jsonrpc: "2.0", id: message.id, ...("error" in result ? result : { result }) });
    const handler = this.#on[method];
    if (handler) return handler(message, reply, this.#send, this);
    if (method === "initialize") {
      return reply({
        protocolVersion: 1,
        agentCapabilities: { loadSession: true, promptCapabilities: { image: true } },
      });
    }
    if (method === "session/new") return reply({ sessionId: "s1" });
    if ("id" in message && method !== "reply") reply({});
  }
}

export interface Rig {
  agent: AcpAgent;
  session: MemorySession;
  script: Script;
  pipes: FakePipes;
  logs: string[];
  context: ReturnType<typeof memoryContext>;
}

export async function withScript(
  on: Script["handlers"],
  work: (rig: Rig) => Promise<void>,
  resumeId?: string,
): Promise<void> {
  const context = memoryContext("/", { env: {}, ...(resumeId === undefined ? {} : { resumeId }) });
  const made: { script?: Script; pipes?: FakePipes } = {};
  const agent = new AcpAgent(context, {
    agentId: "custom",
    name: "Quirk",
    command: ["quirk"],
    env: {},
    startTimeoutMs: 5_000,
    timing: { silenceMs: 40, cancelGraceMs: 80, strayTextMs: 30 },
  }, () => made.pipes = new FakePipes((send) => made.script = new Script(send, on)));
  await agent.start();
  assert.ok(made.script && made.pipes);
  try {
    await work({
      agent,
      session: context.session,
      script: made.script,
      pipes: made.pipes,
      logs: context.logs,
      context,
    });
  } finally {
    await agent.stop();
    assert.deepEqual(context.session.openEntryIds(), []);
  }
}

export const update = (fields: Json, sessionId = "s1"): Json => ({
  jsonrpc: "2.0",
  method: "session/update",
  params: { sessionId, update: fields },
});
export const chunk = (text: string, messageId?: string) =>
  update({
    sessionUpdate: "agent_message_chunk",
    content: { type: "text", text },
    ...(messageId ? { messageId } : {}),
  });
export const thought = (text: string) =>
  update({ sessionUpdate: "agent_thought_chunk", content: { type: "text", text } });
export const call = (fields: Json) => update({ sessionUpdate: "tool_call", ...fields });
export const callUpdate = (fields: Json) => update({ sessionUpdate: "tool_call_update", ...fields });
export const printed = (text: string) => [{ type: "content", content: { type: "text", text } }];
export const permission = (id: number, toolCallId: string): Json => ({
  jsonrpc: "2.0",
  id,
  method: "session/request_permission",
  params: {
    sessionId: "s1",
    toolCall: { toolCallId, title: "rm -rf build", kind: "execute", rawInput: { command: "rm -rf build" } },
    options: [
      { optionId: "always", name: "Always", kind: "allow_always" },
      { optionId: "once", name: "Once", kind: "allow_once" },
      { optionId: "no", name: "No", kind: "reject_once" },
    ],
  },
});
export const ask = { text: "go", attachments: [] };
export const prompt = (agent: AcpAgent): Promise<TurnEnd> => agent.prompt(ask);
