/**
 * The demo agent: a scripted program that speaks real ACP over its stdio, needs no key and no network, and shows what a
 * session can hold. Its only effect is one file in the working folder, which it asks for and which it made itself.
 */
import {
  agent,
  type AgentContext,
  ndJsonStream,
  RequestError,
  type RequestPermissionRequest,
} from "@agentclientprotocol/sdk";
import { join } from "node:path";
import { demoCommands, demoFile, demoMarker, type DemoStep, demoSteps, demoTokens } from "./demo_script.ts";

/** Pace of the streamed text: about 40 tokens a second. PERCH_DEMO_TOKEN_MS overrides it. */
const defaultTokenMs = 25;
const contextSize = 100_000;
/** Most messages that are kept of a session for loading it again. */
const maxHistory = 200;
const historyFolderName = "demo-sessions";

interface HistoryItem {
  role: "user" | "agent";
  text: string;
}

interface DemoSession {
  id: string;
  cwd: string;
  mode: string;
  model: string;
  mayAlwaysWrite: boolean;
  history: HistoryItem[];
  usedTokens: number;
  running: AbortController | null;
}

const modes = [
  { value: "ask", name: "Ask", description: "Asks before it changes the demo file" },
  { value: "auto", name: "Auto", description: "Changes the demo file without asking" },
  { value: "read-only", name: "Read only", description: "Changes nothing" },
];
const models = [
  { value: "demo/quick", name: "Demo Quick" },
  { value: "demo/thoughtful", name: "Demo Thoughtful", description: "Thinks a little longer" },
];

/** Serves one client on this process's stdin and stdout until stdin closes. */
export async function runDemoAgent(): Promise<void> {
  const demo = new DemoAgent(
    tokenMs(Deno.env.get("PERCH_DEMO_TOKEN_MS")),
    join(Deno.env.get("PERCH_DATA_DIR") ?? join(Deno.env.get("HOME") ?? ".", ".perch"), historyFolderName),
  );
  await demo.connect(Deno.stdout.writable, Deno.stdin.readable);
}

function tokenMs(value: string | undefined): number {
  const ms = Number(value);
  return value !== undefined && value !== "" && Number.isFinite(ms) && ms >= 0 ? ms : defaultTokenMs;
}

class DemoAgent {
  readonly #tokenMs: number;
  readonly #historyFolder: string;
  readonly #sessions = new Map<string, DemoSession>();
  #calls = 0;

  constructor(tokenDelayMs: number, historyFolder: string) {
    this.#tokenMs = tokenDelayMs;
    this.#historyFolder = historyFolder;
  }

  async connect(output: WritableStream<Uint8Array>, input: ReadableStream<Uint8Array>): Promise<void> {
    const connection = agent({ name: "perch-demo" })
      .onRequest("initialize", () => ({
        protocolVersion: 1,
        agentInfo: { name: "perch-demo", title: "Demo agent", version: "1.0.0" },
        agentCapabilities: {
          loadSession: true,
          promptCapabilities: { image: true, audio: false, embeddedContext: false },
          sessionCapabilities: {},
        },
        authMethods: [],
      }))
      .onRequest("session/new", ({ params, client }) => {
        const session = this.#add(crypto.randomUUID(), params.cwd, []);
        this.#announce(session, client);
        return { sessionId: session.id, configOptions: configOptions(session) };
      })
      .onRequest("session/load", async ({ params, client }) => {
        const session = this.#add(params.sessionId, params.cwd, await this.#readHistory(params.sessionId));
        for (const { role, text } of session.history) {
          const sessionUpdate = role === "user" ? "user_message_chunk" : "agent_message_chunk";
          await client.notify("session/update", {
            sessionId: session.id,
            update: { sessionUpdate, content: { type: "text", text } },
          });
        }
        this.#announce(session, client);
        return { configOptions: configOptions(session) };
      })
      .onRequest("session/set_config_option", ({ params }) => {
        const session = this.#find(params.sessionId);
        const known = params.configId === "mode" ? modes : params.configId === "model" ? models : [];
        const value = String(params.value);
        if (!known.some((choice) => choice.value === value)) {
          throw RequestError.invalidParams({ value }, `"${value}" is not a value of ${params.configId}`);
        }
        if (params.configId === "mode") session.mode = value;
        else session.model = value;
        return { configOptions: configOptions(session) };
      })
      .onRequest("session/prompt", async ({ params, client }) => {
        const session = this.#find(params.sessionId);
        if (session.running) throw RequestError.invalidRequest(undefined, "a prompt is running");
        const text = params.prompt.flatMap((block) => block.type === "text" ? block.text : []).join("\n");
        const running = session.running = new AbortController();
        try {
          await this.#turn(session, text, client, running.signal);
          return { stopReason: "end_turn" };
        } catch (error) {
          if (running.signal.aborted) return { stopReason: "cancelled" };
          throw error;
        } finally {
          session.running = null;
          await this.#writeHistory(session);
        }
      })
      .onNotification("session/cancel", ({ params }) => this.#sessions.get(params.sessionId)?.running?.abort())
      .connect(ndJsonStream(output, input));
    await connection.closed;
    for (const session of this.#sessions.values()) session.running?.abort();
  }

  #add(id: string, cwd: string, history: HistoryItem[]): DemoSession {
    const session: DemoSession = {
      id,
      cwd,
      mode: "ask",
      model: "demo/quick",
      mayAlwaysWrite: false,
      history,
      usedTokens: 1_200 + history.reduce((sum, item) => sum + demoTokens(item.text).length, 0),
      running: null,
    };
    this.#sessions.set(id, session);
    return session;
  }

  #find(sessionId: string): DemoSession {
    const session = this.#sessions.get(sessionId);
    if (!session) throw RequestError.resourceNotFound(sessionId);
    return session;
  }

  #announce(session: DemoSession, client: AgentContext): void {
    void client.notify("session/update", {
      sessionId: session.id,
      update: { sessionUpdate: "available_commands_update", availableCommands: demoCommands },
    });
    void this.#reportUsage(session, client);
  }

  async #reportUsage(session: DemoSession, client: AgentContext): Promise<void> {
    await client.notify("session/update", {
      sessionId: session.id,
      update: {
        sessionUpdate: "usage_update",
        used: session.usedTokens,
        size: contextSize,
        cost: { amount: 0, currency: "USD" },
      },
    });
  }

  async #turn(session: DemoSession, prompt: string, client: AgentContext, signal: AbortSignal): Promise<void> {
    if (session.history.length === 0) {
      await client.notify("session/update", {
        sessionId: session.id,
        update: { sessionUpdate: "session_info_update", title: `Demo: ${prompt.trim().slice(0, 60) || "hello"}` },
      });
    }
    session.history.push({ role: "user", text: prompt });
    session.usedTokens += demoTokens(prompt).length;
    const said: HistoryItem = { role: "agent", text: "" };
    session.history.push(said);
    for (const step of demoSteps(prompt, { isThoughtful: session.model === "demo/thoughtful" })) {
      signal.throwIfAborted();
      await this.#step(step, session, prompt, client, signal, said);
    }
    await this.#reportUsage(session, client);
  }

  async #step(
    step: DemoStep,
    session: DemoSession,
    prompt: string,
    client: AgentContext,
    signal: AbortSignal,
    said: HistoryItem,
  ): Promise<void> {
    switch (step.type) {
      case "thought":
      case "text": {
        const sessionUpdate = step.type === "text" ? "agent_message_chunk" : "agent_thought_chunk";
        for (const text of demoTokens(step.text)) {
          await pause(this.#tokenMs, signal);
          if (step.type === "text") said.text += text;
          session.usedTokens++;
          await client.notify("session/update", {
            sessionId: session.id,
            update: { sessionUpdate, content: { type: "text", text } },
          });
        }
        return;
      }
      case "plan":
        return await client.notify("session/update", {
          sessionId: session.id,
          update: { sessionUpdate: "plan", entries: step.entries },
        });
      case "look":
        return await this.#look(session, client, signal);
      case "write":
        return await this.#write(session, prompt, client, signal);
      case "fail_tool":
        return await this.#failTool(session, client, signal);
      case "error":
        throw new RequestError(-32603, step.message);
    }
  }

  async #look(session: DemoSession, client: AgentContext, signal: AbortSignal): Promise<void> {
    const toolCallId = this.#newCallId();
    await client.notify("session/update", {
      sessionId: session.id,
      update: {
        sessionUpdate: "tool_call",
        toolCallId,
        title: "List the folder",
        kind: "read",
        status: "in_progress",
        rawInput: { path: session.cwd },
        locations: [{ path: session.cwd }],
      },
    });
    await pause(this.#tokenMs * 10, signal);
    const names: string[] = [];
    for await (const entry of Deno.readDir(session.cwd)) {
      names.push(entry.isDirectory ? `${entry.name}/` : entry.name);
      if (names.length === 50) break;
    }
    const text = names.sort().join("\n") || "(the folder is empty)";
    await client.notify("session/update", {
      sessionId: session.id,
      update: {
        sessionUpdate: "tool_call_update",
        toolCallId,
        status: "completed",
        content: [{ type: "content", content: { type: "text", text } }],
      },
    });
  }

  async #write(session: DemoSession, prompt: string, client: AgentContext, signal: AbortSignal): Promise<void> {
    const { path, before } = await findDemoFile(session.cwd);
    const count = (before?.match(/^\d+\. /gm)?.length ?? 0) + 1;
    const after = demoFile(before, prompt, count);
    const toolCallId = this.#newCallId();
    const diff = { type: "diff" as const, path, oldText: before, newText: after };
    const call = {
      toolCallId,
      title: `Write ${path}`,
      kind: "edit" as const,
      status: "pending" as const,
      rawInput: { path, content: after },
      locations: [{ path }],
      content: [diff],
    };
    await client.notify("session/update", { sessionId: session.id, update: { sessionUpdate: "tool_call", ...call } });
    const mayWrite = session.mode === "auto" || session.mayAlwaysWrite ||
      (session.mode === "ask" && await this.#ask(session, call, client, signal));
    if (mayWrite) await Deno.writeTextFile(path, after);
    const why = session.mode === "read-only" ? "Not written: the mode is Read only." : "Not written: you said no.";
    await client.notify("session/update", {
      sessionId: session.id,
      update: {
        sessionUpdate: "tool_call_update",
        toolCallId,
        status: mayWrite ? "completed" : "failed",
        content: [diff, {
          type: "content",
          content: {
            type: "text",
            text: mayWrite ? `Wrote ${new TextEncoder().encode(after).byteLength} bytes.` : why,
          },
        }],
      },
    });
  }

  /** Asks for permission; true when it was given. A cancelled turn throws. */
  async #ask(
    session: DemoSession,
    toolCall: RequestPermissionRequest["toolCall"],
    client: AgentContext,
    signal: AbortSignal,
  ): Promise<boolean> {
    const request: RequestPermissionRequest = {
      sessionId: session.id,
      toolCall,
      options: [
        { optionId: "yes", name: "Allow once", kind: "allow_once" },
        { optionId: "always", name: "Allow for this session", kind: "allow_always" },
        { optionId: "no", name: "Reject", kind: "reject_once" },
      ],
    };
    const { outcome } = await client.request("session/request_permission", request);
    if (outcome.outcome === "cancelled") {
      session.running?.abort();
      signal.throwIfAborted();
    }
    const chosen = "optionId" in outcome ? outcome.optionId : "no";
    session.mayAlwaysWrite ||= chosen === "always";
    return chosen === "yes" || chosen === "always";
  }

  async #failTool(session: DemoSession, client: AgentContext, signal: AbortSignal): Promise<void> {
    const toolCallId = this.#newCallId();
    await client.notify("session/update", {
      sessionId: session.id,
      update: {
        sessionUpdate: "tool_call",
        toolCallId,
        title: "perch-no-such-command --now",
        kind: "execute",
        status: "in_progress",
        rawInput: { command: "perch-no-such-command --now" },
      },
    });
    await pause(this.#tokenMs * 20, signal);
    await client.notify("session/update", {
      sessionId: session.id,
      update: {
        sessionUpdate: "tool_call_update",
        toolCallId,
        status: "failed",
        content: [{ type: "content", content: { type: "text", text: "perch-no-such-command: command not found" } }],
        rawOutput: { exitCode: 127 },
      },
    });
  }

  #newCallId(): string {
    return `demo_${++this.#calls}_${crypto.randomUUID().slice(0, 8)}`;
  }

  async #readHistory(sessionId: string): Promise<HistoryItem[]> {
    try {
      const items: unknown = JSON.parse(await Deno.readTextFile(this.#historyPath(sessionId)));
      if (Array.isArray(items)) return items;
    } catch {
      // Not ours, or gone with the data folder: the client then starts anew.
    }
    throw RequestError.resourceNotFound(sessionId);
  }

  async #writeHistory(session: DemoSession): Promise<void> {
    try {
      await Deno.mkdir(this.#historyFolder, { recursive: true, mode: 0o700 });
      await Deno.writeTextFile(this.#historyPath(session.id), JSON.stringify(session.history.slice(-maxHistory)), {
        mode: 0o600,
      });
    } catch (error) {
      console.error(`the demo agent cannot keep its history: ${String(error)}`);
    }
  }

  #historyPath(sessionId: string): string {
    if (!/^[a-f0-9-]{36}$/.test(sessionId)) throw RequestError.resourceNotFound(sessionId);
    return join(this.#historyFolder, `${sessionId}.json`);
  }
}

/** The demo file of this folder, or a free name for it. Files of other makers and links are never touched. */
async function findDemoFile(cwd: string): Promise<{ path: string; before: string | null }> {
  for (let count = 1; count <= 100; count++) {
    const path = join(cwd, count === 1 ? "perch-demo.md" : `perch-demo-${count}.md`);
    const info = await Deno.lstat(path).catch(() => null);
    if (info === null) return { path, before: null };
    if (!info.isFile || info.size > 64 * 1024) continue;
    const before = await Deno.readTextFile(path);
    if (before.startsWith(demoMarker)) return { path, before };
  }
  throw new RequestError(-32603, `there is no free name for the demo file in ${cwd}`);
}

function configOptions(session: DemoSession) {
  return [
    {
      type: "select" as const,
      id: "model",
      name: "Model",
      category: "model",
      currentValue: session.model,
      options: models,
    },
    { type: "select" as const, id: "mode", name: "Mode", category: "mode", currentValue: session.mode, options: modes },
  ];
}

/** Waits; rejects at once when the turn is cancelled. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  if (ms === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

if (import.meta.main) await runDemoAgent();
