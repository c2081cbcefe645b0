/** Drives pi through its RPC mode (`pi --mode rpc`). */
import type { Attachment, ModelInfo } from "@/protocol/mod.ts";
import { type Agent, type AgentContext, type AgentExit, AgentRefusal, AgentStartError, type TurnEnd } from "./agent.ts";
import { describeExit } from "./exit_text.ts";
import { ExitGate } from "./exit_gate.ts";
import { Interactions } from "./interactions.ts";
import { patchChanged } from "./meta_changes.ts";
import { orExit } from "./or_exit.ts";
import { PiDialogs } from "./pi_dialogs.ts";
import { type PiAction, type PiDialog, translatePiEvent } from "./pi_events.ts";
import { PiError, PiRpc } from "./pi_rpc.ts";
import { piCommands, piModel, piModels, piThinking, piUsage, takesImages } from "./pi_state.ts";
import { type AgentPipes, AgentProcess, type StartProcess } from "./process.ts";
import { promptParts } from "./prompt_blocks.ts";
import { type JsonObject, objectOf, stringOf } from "./read.ts";
import { Timeline } from "./timeline.ts";
import { clip } from "./tool_output.ts";
import { TurnClock, type TurnTiming, turnTiming } from "./turn_clock.ts";
import { outputEndMs, withinMs } from "./within.ts";

export interface PiOptions {
  name: string;
  /** Program and arguments, `--mode rpc` among them; run without a shell. */
  command: string[];
  /** The whole environment of its process. */
  env: Record<string, string>;
  /** How long it may take to answer for the first time (npx downloads it first). */
  startTimeoutMs: number;
  timing?: TurnTiming;
}

const configureTimeoutMs = 30_000;
/** A compaction is a model call over the whole conversation. */
const compactTimeoutMs = 10 * 60_000;

interface Turn {
  resolve(end: TurnEnd): void;
  promptId: string | null;
  isCancelled: boolean;
  /** A run of pi's began that has not settled. */
  isRunning: boolean;
  error: string | null;
}

type Configure = Parameters<Agent["configure"]>[0];

export class PiAgent implements Agent {
  readonly #context: AgentContext;
  readonly #options: PiOptions;
  readonly #startProcess: StartProcess;
  readonly #timeline: Timeline;
  readonly #interactions: Interactions;
  readonly #dialogs: PiDialogs;
  readonly #clock: TurnClock;
  readonly #gate = new ExitGate();
  readonly #unknownSeen = new Set<string>();
  readonly #openTools = new Map<string, string>();
  #process: AgentPipes | null = null;
  #rpc: PiRpc | null = null;
  #models: ModelInfo[] = [];
  #sessionFile: string | null = null;
  #messageCount = 0;
  #hasDeltas = false;
  /** This pi says when a turn has really ended (0.87 and newer). */
  #knowsSettled = false;
  #isRetrying = false;
  #isStopping = false;
  #isGone = false;
  #turn: Turn | null = null;

  constructor(
    context: AgentContext,
    options: PiOptions,
    startProcess: StartProcess = (processOptions) => new AgentProcess(processOptions),
  ) {
    this.#context = context;
    this.#options = options;
    this.#startProcess = startProcess;
    this.#timeline = new Timeline(context.session);
    this.#interactions = new Interactions(context.session);
    this.#dialogs = new PiDialogs(this.#interactions, (record) => {
      this.#clock.heard();
      this.#rpc?.send(record);
    });
    this.#clock = new TurnClock(options.timing ?? turnTiming, {
      isQuietNormal: () => this.#interactions.size > 0 || this.#timeline.hasOpenTool || this.#isRetrying,
      onSilence: (message) =>
        patchChanged(context.session, { retry: message === null ? null : { message, at: Date.now() } }),
      onCancelTimeout: (message) => {
        this.#timeline.notice("warning", `${options.name} did not confirm the cancel ${message}`);
        this.#endTurn({ outcome: "cancelled" });
      },
      onStray: () => this.#timeline.closeText(),
    });
  }

  get exited(): Promise<AgentExit> {
    return this.#gate.exited;
  }

  start(): Promise<void> {
    return this.#gate.starting(() => this.#start());
  }

  async #start(): Promise<void> {
    const { resumeId } = this.#context;
    const isResumable = resumeId !== null && await Deno.stat(resumeId).then((info) => info.isFile, () => false);
    const command = isResumable ? [...this.#options.command, "--session", resumeId] : this.#options.command;
    let process: AgentPipes;
    try {
      process = this.#startProcess({ command, cwd: this.#context.cwd, env: this.#options.env });
    } catch (error) {
      this.#gate.end();
      throw error;
    }
    this.#process = process;
    const { promise: outputEnd, resolve: endOutput } = Promise.withResolvers<void>();
    this.#rpc = new PiRpc(process, {
      onEvent: (event) => this.#arrived(event),
      onResponse: (id, response) => this.#responded(id, response),
      onEnd: (error) => {
        endOutput();
        this.#outputEnded(error);
      },
    });
    process.exited.then(async (exit) => {
      // What it said last may still be in the pipe.
      await withinMs(outputEnd, outputEndMs);
      this.#gone(exit);
    });
    try {
      await this.#readState(this.#options.startTimeoutMs);
      if (resumeId !== null && !isResumable) {
        this.#timeline.notice(
          "warning",
          `${this.#options.name} could not continue the earlier conversation and starts a new one; it does not remember what is above.`,
          `its session file ${resumeId} is gone`,
        );
      }
    } catch (error) {
      this.#isStopping = true;
      const exit = await process.stop();
      throw new AgentStartError(error instanceof Error ? error.message : String(error), exit.stderrTail);
    }
  }

  prompt(prompt: { text: string; attachments: Attachment[] }): Promise<TurnEnd> {
    const rpc = this.#rpc;
    if (!rpc || this.#isStopping) return this.#failedPrompt(`${this.#options.name} is not running`);
    if (this.#turn) return this.#failedPrompt(`${this.#options.name} is still working on the last prompt`);
    this.#timeline.beginTurn();
    const message = this.#messageOf(prompt);
    const { promise, resolve } = Promise.withResolvers<TurnEnd>();
    this.#turn = { resolve, promptId: null, isCancelled: false, isRunning: false, error: null };
    this.#clock.turnStarted();
    // The response is taken in #responded, in order with the events; a broken pipe ends the turn with the process.
    this.#turn.promptId = rpc.request({ type: "prompt", ...message }).id;
    return promise;
  }

  async steer(prompt: { text: string; attachments: Attachment[] }): Promise<void> {
    if (!this.#turn) throw new AgentRefusal(`${this.#options.name} is not working on anything to steer`);
    await this.#ask({ type: "steer", ...this.#messageOf(prompt) }, configureTimeoutMs);
  }

  cancel(): Promise<void> {
    const turn = this.#turn;
    if (!turn) return Promise.resolve();
    turn.isCancelled = true;
    this.#clock.cancelStarted();
    // pi does not answer an abort while a dialog is open, and goes on with what is queued after it.
    this.#interactions.withdrawAll();
    this.#rpc?.request({ type: "clear_queue" });
    if (this.#isRetrying) this.#rpc?.request({ type: "abort_retry" });
    this.#rpc?.request({ type: "abort" });
    return Promise.resolve();
  }

  answer(answer: Parameters<Agent["answer"]>[0]): Promise<void> {
    try {
      this.#interactions.answer(answer);
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async configure(command: Configure): Promise<void> {
    switch (command.kind) {
      case "set_model": {
        const model = this.#models.find((candidate) =>
          candidate.id === command.modelId &&
          (command.provider === undefined || candidate.provider === command.provider)
        );
        if (!model) throw new AgentRefusal(`${this.#options.name} has no model "${command.modelId}"`);
        await this.#ask({ type: "set_model", provider: model.provider, modelId: model.id }, configureTimeoutMs);
        return await this.#readState(configureTimeoutMs);
      }
      case "set_thinking_level": {
        const level = this.#context.session.meta().thinkingLevel;
        if (!level?.levels.includes(command.level)) {
          throw new AgentRefusal(`"${command.level}" is not a thinking level of this model`);
        }
        await this.#ask({ type: "set_thinking_level", level: command.level }, configureTimeoutMs);
        return patchChanged(this.#context.session, { thinkingLevel: { ...level, current: command.level } });
      }
      case "compact":
        this.#refuseInTurn("the conversation can be compacted");
        try {
          patchChanged(this.#context.session, { isCompacting: true });
          await this.#ask({
            type: "compact",
            ...(command.instructions ? { customInstructions: command.instructions } : {}),
          }, compactTimeoutMs);
        } finally {
          patchChanged(this.#context.session, { isCompacting: false });
        }
        return this.#reportUsage();
      case "new_conversation": {
        this.#refuseInTurn("a new conversation can start");
        const data = await this.#ask({ type: "new_session" }, configureTimeoutMs);
        if (data.cancelled === true) throw new AgentRefusal("an extension of pi did not allow a new conversation");
        this.#timeline.notice("info", "New conversation: the agent does not remember what is above.");
        patchChanged(this.#context.session, { plan: [], usage: null });
        return await this.#readState(configureTimeoutMs);
      }
      case "set_mode":
      case "set_config_option":
        throw new AgentRefusal(`${this.#options.name} has no modes and no options of this kind`);
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#interactions.withdrawAll();
    if (this.#process) await this.#process.stop();
    else this.#gate.end();
    await this.exited;
  }

  /** Reads state, models, thinking levels and commands into the meta. Older versions know some of these commands only. */
  async #readState(timeoutMs: number): Promise<void> {
    const state = await this.#ask({ type: "get_state" }, timeoutMs);
    const optional = (type: string) => this.#ask({ type }, configureTimeoutMs).catch((): JsonObject => ({}));
    const [models, levels, commands] = await Promise.all([
      optional("get_available_models"),
      optional("get_available_thinking_levels"),
      optional("get_commands"),
    ]);
    this.#sessionFile = stringOf(state.sessionFile) ?? null;
    this.#models = piModels(models);
    patchChanged(this.#context.session, {
      model: piModel(state.model),
      models: this.#models,
      thinkingLevel: piThinking(state.thinkingLevel, levels),
      commands: piCommands(commands),
      can: {
        steer: true,
        followUp: true,
        image: takesImages(state.model),
        compact: true,
        newConversation: true,
        resume: this.#sessionFile !== null,
      },
    });
  }

  #messageOf(prompt: { text: string; attachments: Attachment[] }): JsonObject {
    const parts = promptParts(prompt, this.#context.session.meta().can.image);
    for (const refused of parts.refused) this.#timeline.notice("warning", `Not sent: ${refused}`);
    const images = parts.images.map(({ mediaType, data }) => ({ type: "image", data, mimeType: mediaType }));
    return { message: parts.text, ...(images.length === 0 ? {} : { images }) };
  }

  #refuseInTurn(what: string): void {
    if (this.#turn) throw new AgentRefusal(`${what} when the turn has ended; cancel it first`);
  }

  /** A command on behalf of a person; what goes wrong is a refusal for them to read. */
  async #ask(command: JsonObject, timeoutMs: number): Promise<JsonObject> {
    if (!this.#rpc) throw new AgentRefusal(`${this.#options.name} is not running`);
    try {
      return await orExit(this.#rpc.request(command).data, {
        name: this.#options.name,
        exited: this.#gate.ended,
        timeoutMs,
        isAnswer: (error) => error instanceof PiError,
      });
    } catch (error) {
      throw new AgentRefusal(error instanceof Error ? error.message : String(error));
    }
  }

  #responded(id: string, response: JsonObject): void {
    const turn = this.#turn;
    if (!turn || turn.promptId !== id) return;
    if (response.success !== true) {
      turn.error ??= stringOf(response.error) ?? "pi refused the prompt";
      return this.#settle(false);
    }
    // An extension dealt with the prompt; unless it began a run, there is nothing to wait for.
    if (objectOf(response.data).disposition === "handled" && !turn.isRunning) this.#settle(false);
  }

  #arrived(event: JsonObject): void {
    if (this.#isGone) return;
    this.#clock.heard();
    for (const action of translatePiEvent(event)) this.#apply(action);
    if (!this.#turn && this.#timeline.hasOpenText) this.#clock.strayText();
  }

  #apply(action: PiAction): void {
    const { session } = this.#context;
    switch (action.type) {
      case "run_started":
        if (this.#turn) this.#turn.isRunning = true;
        return;
      case "message_start":
        this.#hasDeltas = false;
        this.#messageCount++;
        return;
      case "text":
        this.#hasDeltas = true;
        return this.#timeline.text(action.kind, action.text, `${this.#messageCount}:${action.key}`);
      case "message_end":
        if (!this.#hasDeltas) this.#timeline.text("agent_message", action.fullText);
        this.#timeline.closeText(action.status);
        if (this.#turn) this.#turn.error = action.error ?? null;
        return;
      case "tool": {
        const entryId = this.#timeline.tool(action.change);
        if (action.change.status === "running") this.#openTools.set(action.change.toolCallId, entryId);
        else if (action.change.status === "completed" || action.change.status === "failed") {
          this.#openTools.delete(action.change.toolCallId);
        }
        return;
      }
      case "meta":
        return patchChanged(session, action.patch);
      case "usage": {
        const size = session.meta().model?.contextWindow;
        return patchChanged(session, {
          usage: { ...session.meta().usage, ...action.usage, ...(size === undefined ? {} : { contextSize: size }) },
        });
      }
      case "thinking_level": {
        const known = session.meta().thinkingLevel;
        return known
          ? patchChanged(session, { thinkingLevel: { ...known, current: clip(action.level, 64) } })
          : undefined;
      }
      case "notice":
        return this.#timeline.notice(action.level, action.text);
      case "dialog":
        return this.#openDialog(action.dialog);
      case "retry": {
        this.#isRetrying = true;
        const { message, attempt } = action;
        return patchChanged(session, {
          retry: { message, at: Date.now(), ...(attempt === undefined ? {} : { attempt }) },
        });
      }
      case "retry_ended":
        this.#isRetrying = false;
        if (action.error !== undefined && this.#turn) this.#turn.error = action.error;
        return patchChanged(session, { retry: null });
      case "run_ended":
        if (!this.#knowsSettled && !action.willRetry) this.#askWhetherSettled();
        return;
      case "settled":
        this.#knowsSettled = true;
        return this.#settle(action.isAborted);
      case "ignored":
        return this.#logOnce(action.kind);
    }
  }

  /** Versions before 0.87 do not say that a turn has ended: after each run their state tells. */
  #askWhetherSettled(): void {
    const turn = this.#turn;
    this.#rpc?.request({ type: "get_state" }).data.then((state) => {
      const isBusy = state.isStreaming === true || state.isCompacting === true || this.#isRetrying ||
        (typeof state.pendingMessageCount === "number" && state.pendingMessageCount > 0);
      if (this.#turn === turn && !isBusy) this.#settle(false);
    }, () => {});
  }

  #settle(isAborted: boolean): void {
    const turn = this.#turn;
    if (!turn) return this.#timeline.endTurn("completed");
    if (turn.isCancelled || isAborted) return this.#endTurn({ outcome: "cancelled" });
    if (turn.error === null) return this.#endTurn({ outcome: "completed" });
    const message = turn.error;
    this.#timeline.notice("error", message);
    this.#endTurn({ outcome: "failed", message });
  }

  #endTurn(end: TurnEnd): void {
    const turn = this.#turn;
    if (!turn) return;
    this.#turn = null;
    this.#openTools.clear();
    this.#clock.turnEnded();
    this.#interactions.withdrawAll();
    this.#timeline.endTurn(end.outcome);
    if (this.#isRetrying) {
      this.#isRetrying = false;
      patchChanged(this.#context.session, { retry: null });
    }
    // pi writes its session file with the first answer: from now on there is something to resume.
    if (this.#sessionFile !== null && this.#sessionFile !== this.#context.resumeId) {
      this.#context.saveResumeId(this.#sessionFile);
    }
    if (!this.#isStopping) this.#reportUsage();
    turn.resolve(end);
  }

  #reportUsage(): void {
    this.#rpc?.request({ type: "get_session_stats" }).data.then(
      (stats) =>
        patchChanged(this.#context.session, { usage: { ...this.#context.session.meta().usage, ...piUsage(stats) } }),
      () => {},
    );
  }

  #openDialog(dialog: PiDialog): void {
    this.#timeline.closeText();
    const [toolEntryId, ...others] = this.#openTools.values();
    const entryId = this.#dialogs.open(dialog, others.length === 0 ? toolEntryId : undefined);
    if (entryId === null) this.#context.log("warning", "a dialog was cancelled: too many wait already");
    else if (this.#turn?.isCancelled) this.#interactions.withdraw(entryId);
  }

  #failedPrompt(message: string): Promise<TurnEnd> {
    this.#timeline.notice("error", message);
    return Promise.resolve({ outcome: "failed", message });
  }

  /** The output ended or broke its framing: the process is of no use any more, if it still lives. */
  #outputEnded(error: unknown): void {
    if (error !== null) this.#context.log("warning", "pi's output broke", { error: String(error) });
    if (!this.#isStopping) this.#process?.stop();
  }

  #gone(exit: AgentExit): void {
    const isExpected = this.#isStopping || this.#turn?.isCancelled;
    this.#isStopping = this.#isGone = true;
    this.#interactions.withdrawAll();
    if (this.#turn) {
      if (isExpected) this.#endTurn({ outcome: "cancelled" });
      else {
        const message = `${this.#options.name} ended while it worked (${describeExit(exit)})`;
        this.#timeline.notice("error", message, exit.stderrTail);
        this.#endTurn({ outcome: "failed", message });
      }
    }
    this.#timeline.endTurn("cancelled");
    this.#clock.dispose();
    this.#dialogs.dispose();
    this.#gate.end(exit);
  }

  #logOnce(kind: string): void {
    if (this.#unknownSeen.has(kind) || this.#unknownSeen.size >= 100) return;
    this.#unknownSeen.add(kind);
    this.#context.log("info", "ignored an event of pi", { kind: clip(kind, 200) });
  }
}
