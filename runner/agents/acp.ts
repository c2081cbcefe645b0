/** Drives any agent that speaks the Agent Client Protocol (v1) over stdio. */
import { RequestError } from "@agentclientprotocol/sdk";
import type { Attachment, MetaPatch } from "@/protocol/mod.ts";
import { type Agent, type AgentContext, type AgentExit, AgentRefusal, AgentStartError, type TurnEnd } from "./agent.ts";
import { AcpConnection, type AcpReply } from "./acp_connection.ts";
import { authRequired, errorDetail, errorText, signInHint, startErrorText, stopRemark } from "./acp_errors.ts";
import { readTextFile, writeTextFile } from "./acp_files.ts";
import { initialize, isAgentsWord, newSession } from "./acp_handshake.ts";
import { permissionBody, permissionReply } from "./acp_permission.ts";
import { AcpSettings } from "./acp_settings.ts";
import { AcpTerminals } from "./acp_terminals.ts";
import { permissionToolChange, translateUpdate, turnUsage } from "./acp_updates.ts";
import { type AgentPipes, AgentProcess, type StartProcess } from "./process.ts";
import { patchChanged } from "./meta_changes.ts";
import { promptParts } from "./prompt_blocks.ts";
import { type JsonObject, objectOf, stringOf } from "./read.ts";
import { StdioRun, type Turn } from "./stdio_run.ts";
import type { Timeline } from "./timeline.ts";
import type { TurnTiming } from "./turn_clock.ts";

export interface AcpOptions {
  agentId: string;
  /** The agent's name in messages. */
  name: string;
  /** Program and arguments; run without a shell. */
  command: string[];
  /** The whole environment of its process. */
  env: Record<string, string>;
  /** How long it may take to answer `initialize` and to open its session (npx downloads the agent first). */
  startTimeoutMs: number;
  /** Client capabilities to offer. A daemon on the agent's own machine needs none (reference agents.md §5). */
  offers?: { files?: boolean; terminals?: boolean };
  timing?: TurnTiming;
}

/** How long the agent may take to answer a change of model, mode or option. */
const configureTimeoutMs = 30_000;

interface AcpTurn extends Turn {
  /** Which prompt of this connection it is, from 1. */
  count: number;
  /** Something of it is in the timeline. */
  hasOutput: boolean;
}

type Configure = Parameters<Agent["configure"]>[0];

export class AcpAgent implements Agent {
  readonly #context: AgentContext;
  readonly #options: AcpOptions;
  readonly #run: StdioRun<AcpTurn>;
  readonly #timeline: Timeline;
  readonly #settings: AcpSettings;
  readonly #terminals: AcpTerminals;
  /** Which tool call shows the output of a client terminal. */
  readonly #terminalTools = new Map<string, string>();
  #connection: AcpConnection | null = null;
  #sessionId: string | null = null;
  #isReplaying = false;
  #promptCount = 0;

  constructor(
    context: AgentContext,
    options: AcpOptions,
    startProcess: StartProcess = (processOptions) => new AgentProcess(processOptions),
  ) {
    this.#context = context;
    this.#options = options;
    this.#run = new StdioRun<AcpTurn>(context, {
      name: options.name,
      startProcess,
      ...(options.timing === undefined ? {} : { timing: options.timing }),
      onGone: () => {
        this.#terminals.dispose();
        this.#connection?.close();
      },
    });
    this.#timeline = this.#run.timeline;
    this.#settings = new AcpSettings({
      agentId: options.agentId,
      name: options.name,
      patchMeta: (patch) => patchChanged(context.session, patch),
      ask: (method, params) => this.#ask(method, params),
    });
    this.#terminals = new AcpTerminals(context.cwd, options.env, (id, text) => this.#terminalPrinted(id, text));
  }

  get exited(): Promise<AgentExit> {
    return this.#run.exited;
  }

  start(): Promise<void> {
    return this.#run.starting(() => this.#start());
  }

  async #start(): Promise<void> {
    const { command, env, startTimeoutMs, name } = this.#options;
    let connection: AcpConnection;
    const process = this.#run.launch(command, env, (process) => {
      connection = this.#connection = this.#connect(process);
      return connection.closed;
    });
    try {
      await this.#run.orExit(this.#open(connection!), startTimeoutMs, isAgentsWord);
    } catch (error) {
      const isTold = error instanceof AgentStartError && error.stderrTail === "";
      throw await this.#run.failedStart(process, isTold ? error.message : startErrorText(name, error));
    }
  }

  async prompt(prompt: { text: string; attachments: Attachment[] }): Promise<TurnEnd> {
    const { unready } = this.#run;
    if (unready !== null) return this.#run.failedPrompt(unready);
    const parts = promptParts(prompt, this.#context.session.meta().can.image);
    this.#timeline.beginTurn();
    for (const refused of parts.refused) this.#timeline.notice("warning", `Not sent: ${refused}`);
    const { promise, resolve } = Promise.withResolvers<TurnEnd>();
    this.#run.beginTurn({ count: ++this.#promptCount, resolve, isCancelled: false, hasOutput: false });
    const blocks: JsonObject[] = [
      { type: "text", text: parts.text },
      ...parts.images.map((image) => ({ type: "image", mimeType: image.mediaType, data: image.data })),
    ];
    // The reply is taken in #replied, in order with the updates; only a broken connection is left for here.
    this.#connection!.request("session/prompt", { sessionId: this.#sessionId, prompt: blocks }).catch((error) => {
      if (!(error instanceof RequestError)) this.#connectionLost(error);
    });
    return await promise;
  }

  steer(): Promise<void> {
    return Promise.reject(
      new AgentRefusal(`${this.#options.name} cannot be steered while it works; wait or cancel first`),
    );
  }

  async cancel(): Promise<void> {
    const turn = this.#run.turn;
    if (!turn) return;
    turn.isCancelled = true;
    const sent = this.#connection?.notify("session/cancel", { sessionId: this.#sessionId });
    // Agents wait for an answer to the permission that they asked, cancelled or not.
    this.#run.interactions.withdrawAll();
    this.#run.clock.cancelStarted();
    await sent;
  }

  answer(answer: Parameters<Agent["answer"]>[0]): Promise<void> {
    return this.#run.answer(answer);
  }

  async configure(command: Configure): Promise<void> {
    switch (command.kind) {
      case "set_model":
        return await this.#settings.setModel(command.modelId);
      case "set_mode":
        return await this.#settings.setMode(command.modeId);
      case "set_config_option":
        return await this.#settings.setOption(command.optionId, command.value);
      case "set_thinking_level":
        return await this.#settings.setThinkingLevel(command.level);
      case "compact":
        throw new AgentRefusal(
          `${this.#options.name} compacts by itself or with a command of its own; see its commands`,
        );
      case "new_conversation":
        return await this.#newConversation();
    }
  }

  stop(): Promise<void> {
    return this.#run.stop();
  }

  #connect(process: AgentPipes): AcpConnection {
    const { offers } = this.#options;
    return new AcpConnection(process, {
      onUpdate: (params) => this.#updated(objectOf(params)),
      onReply: (method, count, reply) => this.#replied(method, count, reply),
      onPermission: (params, signal) => this.#permissionAsked(objectOf(params), signal),
      requests: {
        ...(offers?.files
          ? {
            "fs/read_text_file": (params: unknown) => readTextFile(this.#context.cwd, params),
            "fs/write_text_file": (params: unknown) => writeTextFile(this.#context.cwd, params),
          }
          : {}),
        ...(offers?.terminals ? this.#terminals.requests() : {}),
      },
      onUnknown: (method) => this.#run.logOnce("method", method),
    });
  }

  async #open(connection: AcpConnection): Promise<void> {
    const { name, offers = {} } = this.#options;
    const abilities = await initialize(connection, name, offers);
    const { continueBy, takesImages } = abilities;
    patchChanged(this.#context.session, {
      can: {
        steer: false,
        followUp: true,
        image: takesImages,
        compact: false,
        newConversation: true,
        resume: continueBy !== null,
      },
    });
    try {
      const { resumeId } = this.#context;
      const isContinued = resumeId !== null && continueBy !== null &&
        await this.#continue(connection, resumeId, continueBy);
      if (!isContinued) await this.#newSession(connection);
    } catch (error) {
      if (error instanceof RequestError && error.code === authRequired) {
        throw new AgentStartError(signInHint(name, error, abilities.authMethods), "");
      }
      throw error;
    }
  }

  /** Resumes or loads the earlier conversation; false (and a notice) when the agent cannot. Its replay is not written again. */
  async #continue(
    connection: AcpConnection,
    resumeId: string,
    method: "session/resume" | "session/load",
  ): Promise<boolean> {
    this.#isReplaying = true;
    try {
      const reply = await connection.request(method, { sessionId: resumeId, cwd: this.#context.cwd, mcpServers: [] });
      this.#sessionId = resumeId;
      this.#settings.read(reply);
      return true;
    } catch (error) {
      if (!(error instanceof RequestError) || error.code === authRequired) throw error;
      this.#timeline.notice(
        "warning",
        `${this.#options.name} could not continue the earlier conversation and starts a new one; it does not remember what is above.`,
        errorText(error),
      );
      return false;
    } finally {
      this.#isReplaying = false;
    }
  }

  async #newSession(connection: AcpConnection): Promise<void> {
    const earlier = this.#sessionId;
    // Updates may come before the reply that names the new session.
    this.#sessionId = null;
    try {
      const { sessionId, reply } = await newSession(connection, this.#options.name, this.#context.cwd);
      this.#sessionId = sessionId;
      this.#settings.read(reply);
      if (this.#context.session.meta().can.resume) this.#context.saveResumeId(sessionId);
    } finally {
      this.#sessionId ??= earlier;
    }
  }

  async #newConversation(): Promise<void> {
    const connection = this.#connection;
    if (!connection) throw new AgentRefusal(`${this.#options.name} is not running`);
    if (this.#run.turn) throw new AgentRefusal("a new conversation can start when the turn has ended; cancel it first");
    try {
      await this.#run.orExit(this.#newSession(connection), configureTimeoutMs, isAgentsWord);
    } catch (error) {
      throw new AgentRefusal(
        `no new conversation: ${error instanceof RequestError ? errorText(error) : String(error)}`,
      );
    }
    this.#timeline.notice("info", "New conversation: the agent does not remember what is above.");
    patchChanged(this.#context.session, { plan: [], usage: null });
  }

  #updated(params: JsonObject): void {
    if (this.#run.isGone) return;
    const sessionId = stringOf(params.sessionId);
    // Before the reply to session/new the id is not known yet, and updates may come; other sessions are no concern of ours.
    if (this.#sessionId !== null && sessionId !== undefined && sessionId !== this.#sessionId) {
      return this.#run.logOnce("session", sessionId);
    }
    const event = translateUpdate(params.update, this.#timeline);
    if (event.type === "meta") return this.#patchMeta(event.patch);
    if (event.type === "mode") return this.#settings.modeChanged(event.modeId);
    if (event.type === "config") return this.#settings.optionsChanged(event.configOptions);
    if (event.type === "ignored") return this.#run.logOnce("update", event.kind);
    if (event.type === "user_text" || this.#isReplaying) return;
    if (this.#run.turn) this.#run.turn.hasOutput = true;
    if (event.type === "text") this.#timeline.text(event.kind, event.text, event.messageId);
    else if (event.type === "notice") this.#timeline.notice(event.level, event.text);
    else {
      for (const terminalId of event.terminalIds) this.#terminalTools.set(terminalId, event.change.toolCallId);
      this.#timeline.tool(event.change);
    }
    this.#run.clock.heard();
    if (!this.#run.turn && this.#timeline.hasOpenText) this.#run.clock.strayText();
  }

  /** Usage comes in parts (context with updates, tokens with replies): each part replaces only what it names. */
  #patchMeta(patch: MetaPatch): void {
    const { session } = this.#context;
    patchChanged(session, patch.usage ? { ...patch, usage: { ...session.meta().usage, ...patch.usage } } : patch);
  }

  #replied(method: string, count: number, reply: AcpReply): void {
    if (method === "session/load" || method === "session/resume") this.#isReplaying = false;
    if (method !== "session/prompt") return;
    const turn = this.#run.turn;
    // The reply to a prompt that was given up may come in a later turn.
    if (!turn || turn.count !== count) return;
    const usage = "result" in reply ? turnUsage(reply.result.usage) : null;
    if (usage) this.#patchMeta({ usage });
    if (turn.isCancelled) return this.#run.endTurn({ outcome: "cancelled" });
    if ("error" in reply) {
      const message = errorText(reply.error);
      this.#timeline.notice("error", message, errorDetail(reply.error));
      return this.#run.endTurn({ outcome: "failed", message });
    }
    const reason = stringOf(reply.result.stopReason);
    if (reason === "cancelled") return this.#run.endTurn({ outcome: "cancelled" });
    const remark = stopRemark(this.#options.name, reason, turn.hasOutput);
    if (remark) this.#timeline.notice("warning", remark);
    this.#run.endTurn({ outcome: "completed" });
  }

  #permissionAsked(params: JsonObject, signal: AbortSignal): Promise<unknown> {
    if (this.#run.isGone) return Promise.resolve(permissionReply({ outcome: "cancelled" }));
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const call = objectOf(params.toolCall);
    const toolCallId = stringOf(call.toolCallId);
    if (this.#run.turn) this.#run.turn.hasOutput = true;
    this.#run.clock.heard();
    const toolEntryId = toolCallId === undefined ? undefined : this.#timeline.tool(
      permissionToolChange(call, this.#timeline, this.#timeline.hasTool(toolCallId)),
    );
    this.#timeline.closeText();
    const body = permissionBody(params, toolEntryId);
    const entryId = this.#run.interactions.open(stringOf(call.title) ?? "Permission", body, (settlement) => {
      const chosen = body.options.find((option) => option.optionId === settlement.optionId);
      if (toolCallId !== undefined && !chosen?.kind?.startsWith("allow")) this.#timeline.rejectTool(toolCallId);
      resolve(permissionReply(settlement));
      this.#run.clock.heard();
    });
    if (entryId === null) this.#context.log("warning", "a permission request was cancelled: too many wait already");
    else signal.addEventListener("abort", () => this.#run.interactions.withdraw(entryId), { once: true });
    // A request that comes after the turn was cancelled has nobody to wait for.
    if (this.#run.turn?.isCancelled && entryId !== null) this.#run.interactions.withdraw(entryId);
    return promise;
  }

  #terminalPrinted(terminalId: string, text: string): void {
    const toolCallId = this.#terminalTools.get(terminalId);
    if (toolCallId !== undefined) this.#timeline.tool({ toolCallId, output: { mode: "append", text } });
    this.#run.clock.heard();
  }

  /** A request on behalf of a person; what goes wrong is a refusal for them to read. */
  async #ask(method: string, params: JsonObject): Promise<JsonObject> {
    const connection = this.#connection;
    if (!connection) throw new AgentRefusal(`${this.#options.name} is not running`);
    try {
      return await this.#run.orExit(
        connection.request(method, { sessionId: this.#sessionId, ...params }),
        configureTimeoutMs,
        isAgentsWord,
      );
    } catch (error) {
      throw new AgentRefusal(
        error instanceof RequestError ? errorText(error) : error instanceof Error ? error.message : String(error),
      );
    }
  }

  /** The framing broke or the agent closed its output, and the process may still live: it is of no use any more. */
  #connectionLost(error: unknown): void {
    if (!this.#run.turn || this.#run.isStopping) return;
    this.#context.log("warning", "the connection to the agent broke", { error: String(error) });
    this.#run.process?.stop();
  }
}
