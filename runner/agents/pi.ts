/** Drives pi through its RPC mode (`pi --mode rpc`). */
import type { Attachment, ModelInfo } from "@/protocol/mod.ts";
import { type Agent, type AgentContext, type AgentExit, AgentRefusal, type TurnEnd } from "./agent.ts";
import { patchChanged } from "./meta_changes.ts";
import { PiDialogs } from "./pi_dialogs.ts";
import { type PiAction, type PiDialog, translatePiEvent } from "./pi_events.ts";
import { PiError, PiRpc } from "./pi_rpc.ts";
import { piCommands, piModel, piModels, piThinking, piUsage, takesImages } from "./pi_state.ts";
import { AgentProcess, type StartProcess } from "./process.ts";
import { promptParts } from "./prompt_blocks.ts";
import { type JsonObject, objectOf, stringOf } from "./read.ts";
import { StdioRun, type Turn } from "./stdio_run.ts";
import type { Timeline } from "./timeline.ts";
import { clip } from "./tool_output.ts";
import type { TurnTiming } from "./turn_clock.ts";

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

interface PiTurn extends Turn {
  promptId: string | null;
  /** A run of pi's began that has not settled. */
  isRunning: boolean;
  error: string | null;
}

type Configure = Parameters<Agent["configure"]>[0];

export class PiAgent implements Agent {
  readonly #context: AgentContext;
  readonly #options: PiOptions;
  readonly #run: StdioRun<PiTurn>;
  readonly #timeline: Timeline;
  readonly #dialogs: PiDialogs;
  readonly #openTools = new Map<string, string>();
  #rpc: PiRpc | null = null;
  #models: ModelInfo[] = [];
  #sessionFile: string | null = null;
  #messageCount = 0;
  #hasDeltas = false;
  /** This pi says when a turn has really ended (0.87 and newer). */
  #knowsSettled = false;
  #isRetrying = false;

  constructor(
    context: AgentContext,
    options: PiOptions,
    startProcess: StartProcess = (processOptions) => new AgentProcess(processOptions),
  ) {
    this.#context = context;
    this.#options = options;
    this.#run = new StdioRun<PiTurn>(context, {
      name: options.name,
      startProcess,
      ...(options.timing === undefined ? {} : { timing: options.timing }),
      isQuietNormal: () => this.#isRetrying,
      onTurnEnded: () => this.#turnEnded(),
      onGone: () => this.#dialogs.dispose(),
    });
    this.#timeline = this.#run.timeline;
    this.#dialogs = new PiDialogs(this.#run.interactions, (record) => {
      this.#run.clock.heard();
      this.#rpc?.send(record);
    });
  }

  get exited(): Promise<AgentExit> {
    return this.#run.exited;
  }

  start(): Promise<void> {
    return this.#run.starting(() => this.#start());
  }

  async #start(): Promise<void> {
    const { resumeId } = this.#context;
    const isResumable = resumeId !== null && await Deno.stat(resumeId).then((info) => info.isFile, () => false);
    const command = isResumable ? [...this.#options.command, "--session", resumeId] : this.#options.command;
    const process = this.#run.launch(command, this.#options.env, (process) => {
      const { promise: outputEnd, resolve: endOutput } = Promise.withResolvers<void>();
      this.#rpc = new PiRpc(process, {
        onEvent: (event) => this.#arrived(event),
        onResponse: (id, response) => this.#responded(id, response),
        onEnd: (error) => {
          endOutput();
          this.#outputEnded(error);
        },
      });
      return outputEnd;
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
      throw await this.#run.failedStart(process, error instanceof Error ? error.message : String(error));
    }
  }

  async prompt(prompt: { text: string; attachments: Attachment[] }): Promise<TurnEnd> {
    const { unready } = this.#run;
    if (unready !== null) return this.#run.failedPrompt(unready);
    this.#timeline.beginTurn();
    const message = this.#messageOf(prompt);
    const { promise, resolve } = Promise.withResolvers<TurnEnd>();
    const turn: PiTurn = { resolve, promptId: null, isCancelled: false, isRunning: false, error: null };
    this.#run.beginTurn(turn);
    // The response is taken in #responded, in order with the events; a broken pipe ends the turn with the process.
    turn.promptId = this.#rpc!.request({ type: "prompt", ...message }).id;
    return await promise;
  }

  async steer(prompt: { text: string; attachments: Attachment[] }): Promise<void> {
    if (!this.#run.turn) throw new AgentRefusal(`${this.#options.name} is not working on anything to steer`);
    await this.#ask({ type: "steer", ...this.#messageOf(prompt) }, configureTimeoutMs);
  }

  cancel(): Promise<void> {
    const turn = this.#run.turn;
    if (!turn) return Promise.resolve();
    turn.isCancelled = true;
    this.#run.clock.cancelStarted();
    // pi does not answer an abort while a dialog is open, and goes on with what is queued after it.
    this.#run.interactions.withdrawAll();
    this.#rpc?.request({ type: "clear_queue" });
    if (this.#isRetrying) this.#rpc?.request({ type: "abort_retry" });
    this.#rpc?.request({ type: "abort" });
    return Promise.resolve();
  }

  answer(answer: Parameters<Agent["answer"]>[0]): Promise<void> {
    return this.#run.answer(answer);
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

  stop(): Promise<void> {
    return this.#run.stop();
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
    if (this.#run.turn) throw new AgentRefusal(`${what} when the turn has ended; cancel it first`);
  }

  /** A command on behalf of a person; what goes wrong is a refusal for them to read. */
  async #ask(command: JsonObject, timeoutMs: number): Promise<JsonObject> {
    if (!this.#rpc) throw new AgentRefusal(`${this.#options.name} is not running`);
    try {
      return await this.#run.orExit(this.#rpc.request(command).data, timeoutMs, (error) => error instanceof PiError);
    } catch (error) {
      throw new AgentRefusal(error instanceof Error ? error.message : String(error));
    }
  }

  #responded(id: string, response: JsonObject): void {
    const turn = this.#run.turn;
    if (!turn || turn.promptId !== id) return;
    if (response.success !== true) {
      turn.error ??= stringOf(response.error) ?? "pi refused the prompt";
      return this.#settle(false);
    }
    // An extension dealt with the prompt; unless it began a run, there is nothing to wait for.
    if (objectOf(response.data).disposition === "handled" && !turn.isRunning) this.#settle(false);
  }

  #arrived(event: JsonObject): void {
    if (this.#run.isGone) return;
    this.#run.clock.heard();
    for (const action of translatePiEvent(event)) this.#apply(action);
    if (!this.#run.turn && this.#timeline.hasOpenText) this.#run.clock.strayText();
  }

  #apply(action: PiAction): void {
    const { session } = this.#context;
    switch (action.type) {
      case "run_started":
        if (this.#run.turn) this.#run.turn.isRunning = true;
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
        if (this.#run.turn) this.#run.turn.error = action.error ?? null;
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
        if (action.error !== undefined && this.#run.turn) this.#run.turn.error = action.error;
        return patchChanged(session, { retry: null });
      case "run_ended":
        if (!this.#knowsSettled && !action.willRetry) this.#askWhetherSettled();
        return;
      case "settled":
        this.#knowsSettled = true;
        return this.#settle(action.isAborted);
      case "ignored":
        return this.#run.logOnce("event", action.kind);
    }
  }

  /** Versions before 0.87 do not say that a turn has ended: after each run their state tells. */
  #askWhetherSettled(): void {
    const turn = this.#run.turn;
    this.#rpc?.request({ type: "get_state" }).data.then((state) => {
      const isBusy = state.isStreaming === true || state.isCompacting === true || this.#isRetrying ||
        (typeof state.pendingMessageCount === "number" && state.pendingMessageCount > 0);
      if (this.#run.turn === turn && !isBusy) this.#settle(false);
    }, () => {});
  }

  #settle(isAborted: boolean): void {
    const turn = this.#run.turn;
    if (!turn) return this.#timeline.endTurn("completed");
    if (turn.isCancelled || isAborted) return this.#run.endTurn({ outcome: "cancelled" });
    if (turn.error === null) return this.#run.endTurn({ outcome: "completed" });
    const message = turn.error;
    this.#timeline.notice("error", message);
    this.#run.endTurn({ outcome: "failed", message });
  }

  #turnEnded(): void {
    this.#openTools.clear();
    if (this.#isRetrying) {
      this.#isRetrying = false;
      patchChanged(this.#context.session, { retry: null });
    }
    // pi writes its session file with the first answer: from now on there is something to resume.
    if (this.#sessionFile !== null && this.#sessionFile !== this.#context.resumeId) {
      this.#context.saveResumeId(this.#sessionFile);
    }
    if (!this.#run.isStopping) this.#reportUsage();
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
    else if (this.#run.turn?.isCancelled) this.#run.interactions.withdraw(entryId);
  }

  /** The output ended or broke its framing: the process is of no use any more, if it still lives. */
  #outputEnded(error: unknown): void {
    if (error !== null) this.#context.log("warning", "pi's output broke", { error: String(error) });
    if (!this.#run.isStopping) this.#run.process?.stop();
  }
}
