/**
 * The turn machine of one session: turns commands into calls on the agent, one turn at a time, each command into a receipt, and the
 * agent's end into the session's. Core without sockets or processes: the log and the agent are handed in.
 */
import {
  type CommandResult,
  type DeliveredCommand,
  type EntryBodies,
  type MetaPatch,
  type RunnerCommand,
  type SessionCommand,
  type SessionEnd,
  type SessionMeta,
} from "@/protocol/mod.ts";
import { type Agent, AgentRefusal, AgentStartError, type SessionWriter, type TurnEnd } from "./agents/agent.ts";
import { HostWriter } from "./host_writer.ts";
import type { WaitingPrompt } from "./journal_line.ts";
import { errorText, type Log } from "./log.ts";
import type { SessionLog } from "./session_log.ts";

/** Most prompts that may wait for their turn (meta.queue's bound). */
export const QUEUE_PROMPTS = 50;
/** Longest time that the agent's stop may take before the session ends without it. It kills its process after 5 s. */
const AGENT_STOP_MS = 6_000;
const QUEUED_TEXT_CHARS = 2_000;
/** Fact in the journal: the agent's own session id. */
const RESUME_ID = "resumeId";

/** What is given to the agent's constructor. */
export interface AgentHandles {
  session: SessionWriter;
  resumeId: string | null;
  saveResumeId(resumeId: string): void;
  observe?(state: { isWorking: boolean; needsYou: boolean }): void;
}

export interface SessionHostOptions {
  log: SessionLog;
  createAgent(handles: AgentHandles): Agent;
  write: Log;
  now?: () => number;
}

type CommandOf<K extends SessionCommand["kind"]> = Extract<SessionCommand, { kind: K }>;

/** The command cannot be carried out; the message is the receipt's reason. */
class Rejection extends Error {}

export class SessionHost {
  readonly writer: HostWriter;
  readonly #log: SessionLog;
  readonly #options: SessionHostOptions;
  readonly #now: () => number;
  #agent: Agent | null = null;
  #isStarted = false;
  #isTurnRunning = false;
  #isStopping = false;
  #end: SessionEnd | null = null;
  readonly #ended = Promise.withResolvers<SessionEnd>();
  /** Configuration commands run one after another, and no turn begins while one runs. */
  #configuring: Promise<void> = Promise.resolve();
  #configuringCount = 0;
  /** Commands being carried out, by op: a repeated delivery waits for the first. */
  readonly #inFlight = new Map<string, Promise<CommandResult>>();
  /** Answers being given, by entry: the second waits, then hears who won. */
  readonly #answering = new Map<string, Promise<void>>();

  constructor(options: SessionHostOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.writer = new HostWriter(
      options.log,
      () => ({ isStarted: this.#isStarted, isTurnRunning: this.#isTurnRunning, isEnded: this.#end !== null }),
      this.#now,
      () => this.#drain(),
    );
  }

  /** Resolves when the session has ended: everything is in the journal, the agent's process is gone. */
  get ended(): Promise<SessionEnd> {
    return this.#ended.promise;
  }

  /** Starts the agent, with the conversation of an earlier run where there is one. A failure to start ends the session. */
  async start(): Promise<void> {
    // What an earlier run left open, because it was killed.
    this.writer.closeOpenEntries();
    this.writer.refresh({ ended: null, retry: null, isCompacting: false, queue: this.#shownQueue() });
    try {
      const agent = this.#options.createAgent({
        session: this.writer,
        resumeId: this.#log.journal.index.facts.get(RESUME_ID) ?? null,
        saveResumeId: (value) => this.#log.journal.append({ t: "fact", name: RESUME_ID, value }),
        observe: (state) => this.writer.setObserved(state),
      });
      this.#agent = agent;
      void agent.exited.then((exit) => {
        if (exit.end) return this.#agentEnded(exit.end);
        const how = exit.signal ? `was killed by ${exit.signal}` : `exited with code ${exit.code}`;
        this.#fail(`the agent ${how}`, exit.stderrTail);
      });
      await agent.start();
      if (this.#end || this.#isStopping) return;
      this.#isStarted = true;
      this.writer.refresh();
      this.#drain();
    } catch (error) {
      const detail = error instanceof AgentStartError ? error.stderrTail : "";
      this.#fail(`the agent could not be started: ${errorText(error)}`, detail);
    }
  }

  /** Carries a command out once and answers with its receipt; a repeated delivery gets the same receipt. Never rejects. */
  deliver(delivered: DeliveredCommand): Promise<CommandResult> {
    const { op } = delivered;
    const known = this.#log.journal.index.ops.get(op);
    if (known) return Promise.resolve({ type: "command_result", op, ...known });
    const running = this.#inFlight.get(op);
    if (running) return running;
    const result = this.#carryOut(delivered).finally(() => this.#inFlight.delete(op));
    this.#inFlight.set(op, result);
    return result;
  }

  async #carryOut(delivered: DeliveredCommand): Promise<CommandResult> {
    const { op } = delivered;
    try {
      if (this.#end || this.#isStopping) throw new Rejection("the session has ended; resume it first");
      await this.#execute(delivered.command, op, delivered.from);
      this.#remember(op, "applied");
      return { type: "command_result", op, status: "applied" };
    } catch (error) {
      const isExpected = error instanceof Rejection || error instanceof AgentRefusal;
      if (!isExpected) this.#options.write("warning", `command failed: ${errorText(error)}`, { op });
      const reason = (isExpected ? errorText(error) : `the agent failed: ${errorText(error)}`).slice(0, 2_000);
      this.#remember(op, "rejected", reason);
      return { type: "command_result", op, status: "rejected", reason };
    }
  }

  #remember(op: string, status: "applied" | "rejected", reason?: string): void {
    if (this.#log.journal.index.ops.has(op)) return;
    this.#log.journal.append({ t: "op", op, status, ...(reason === undefined ? {} : { reason }) });
  }

  async #execute(command: SessionCommand | RunnerCommand, op: string, from: string): Promise<void> {
    switch (command.kind) {
      case "prompt":
        return await this.#prompt(command, op, from);
      case "cancel":
        return await this.#agent?.cancel();
      case "answer":
        return await this.#answer(command, op, from);
      case "rename":
        return this.writer.setTitle(command.title, "user");
      case "unqueue":
        return this.#unqueue(command.queuedOp);
      case "set_model":
      case "set_mode":
      case "set_config_option":
      case "set_thinking_level":
      case "compact":
      case "new_conversation":
        return await this.#configure(command);
      default:
        throw new Rejection(`"${command.kind}" is a command for a runner, not for a session`);
    }
  }

  async #prompt(command: CommandOf<"prompt">, op: string, from: string): Promise<void> {
    // A crash between the message and its receipt: the message is there, so the command was applied.
    if (this.#log.journal.index.entries.has(messageId(op)) || this.#log.journal.index.queue.has(op)) return;
    const { text, attachments = [], delivery } = command;
    const prompt: WaitingPrompt = { op, text, attachments, delivery, from };
    if (attachments.length > 0 && this.#isStarted && !this.writer.meta().can.image) {
      throw new Rejection("this agent takes no attachments");
    }
    if (delivery === "steer" && this.#isTurnRunning) return await this.#steer(prompt);
    if (this.#isFree && this.#log.journal.index.queue.size === 0) return this.#beginTurn(prompt);
    if (this.#log.journal.index.queue.size >= QUEUE_PROMPTS) {
      throw new Rejection(`${QUEUE_PROMPTS} prompts wait already; remove one or wait for a turn to end`);
    }
    this.#log.journal.append({ t: "queued", prompt });
    this.writer.refresh({ queue: this.#shownQueue() });
    this.#drain();
  }

  async #steer(prompt: WaitingPrompt): Promise<void> {
    const agent = this.#readyAgent();
    if (!this.writer.meta().can.steer) {
      throw new Rejection("this agent cannot take a message in the middle of a turn; send it as a follow-up");
    }
    this.#writeMessage(prompt, "running");
    try {
      await agent.steer({ text: prompt.text, attachments: prompt.attachments });
      this.#writeMessage(prompt, "completed");
    } catch (error) {
      this.#writeMessage(prompt, "failed");
      throw error;
    }
  }

  #unqueue(op: string): void {
    if (!this.#log.journal.index.queue.has(op)) throw new Rejection("that prompt does not wait any more");
    this.#log.journal.append({ t: "unqueued", op });
    this.writer.refresh({ queue: this.#shownQueue() });
  }

  #shownQueue(): SessionMeta["queue"] {
    return [...this.#log.journal.index.queue.values()].map(({ op, text, delivery }) => ({
      op,
      text: text.slice(0, QUEUED_TEXT_CHARS),
      delivery,
    }));
  }

  /** Whether a turn may begin now. */
  get #isFree(): boolean {
    return this.#isStarted && !this.#isTurnRunning && !this.#isStopping && this.#end === null &&
      this.#configuringCount === 0 && !this.writer.meta().isCompacting;
  }

  /** Begins the next turn when one waits and nothing stands in its way. */
  #drain(): void {
    if (!this.#isFree) return;
    const [next] = this.#log.journal.index.queue.values();
    if (!next) return;
    this.#log.journal.append({ t: "unqueued", op: next.op });
    this.#beginTurn(next, { queue: this.#shownQueue() });
  }

  #beginTurn(prompt: WaitingPrompt, also: MetaPatch = {}): void {
    const agent = this.#readyAgent();
    this.#isTurnRunning = true;
    this.#writeMessage(prompt, "completed");
    this.writer.setTitle(prompt.text, "prompt");
    this.writer.refresh({ ...also, lastActivityAt: this.#now() });
    agent.prompt({ text: prompt.text, attachments: prompt.attachments }).then(
      (end) => this.#turnEnded(end),
      (error) => {
        this.writer.notice("error", `the agent failed: ${errorText(error)}`);
        this.#turnEnded({ outcome: "failed", message: errorText(error) });
      },
    );
  }

  #turnEnded(end: TurnEnd): void {
    this.#isTurnRunning = false;
    if (this.#end) return;
    const left = this.writer.openEntryIds();
    if (left.length > 0) {
      this.#options.write("warning", "the agent left entries open at the end of its turn", { entries: left });
      this.writer.closeOpenEntries();
    }
    if (end.outcome === "failed") this.#options.write("warning", `turn failed: ${end.message}`);
    this.writer.refresh({ lastActivityAt: this.#now() });
    this.#drain();
  }

  #writeMessage(prompt: WaitingPrompt, status: "running" | "completed" | "failed"): void {
    const id = messageId(prompt.op);
    const startedAt = this.writer.entry(id)?.head.startedAt ?? this.#now();
    const { text, attachments, op, delivery, from } = prompt;
    const body: EntryBodies["user_message"] = {
      text,
      op,
      delivery,
      from,
      ...(attachments.length > 0 ? { attachments } : {}),
    };
    const head = { status, startedAt, ...(status === "running" ? {} : { endedAt: this.#now() }) };
    this.writer.upsert({ id, kind: "user_message", head, body });
  }

  async #answer(command: CommandOf<"answer">, op: string, by: string): Promise<void> {
    const { entryId } = command;
    for (let other = this.#answering.get(entryId); other; other = this.#answering.get(entryId)) await other;
    const entry = this.writer.entry<"interaction">(entryId);
    if (!entry || entry.kind !== "interaction") throw new Rejection("there is no such question");
    if (entry.head.status !== "pending" && entry.head.status !== "running") {
      const winner = entry.body.answer?.by;
      throw new Rejection(winner ? `already answered by ${winner}` : "the agent does not wait for this any more");
    }
    // Asked for by an agent that may still be starting: it waits for this to go on.
    if (!this.#agent) throw new Rejection("the agent is not running");
    const answered = this.#agent.answer({ ...command, op, by });
    this.#answering.set(entryId, answered.then(noop, noop));
    try {
      await answered;
    } finally {
      this.#answering.delete(entryId);
    }
  }

  #configure(command: Parameters<Agent["configure"]>[0]): Promise<void> {
    if (command.kind === "new_conversation" && this.#isTurnRunning) {
      throw new Rejection("stop the running turn before starting a new conversation");
    }
    this.#configuringCount++;
    const done = this.#configuring.then(() => this.#readyAgent().configure(command)).finally(() => {
      this.#configuringCount--;
      this.#drain();
    });
    this.#configuring = done.then(noop, noop);
    return done;
  }

  #readyAgent(): Agent {
    if (!this.#agent || !this.#isStarted) throw new Rejection("the agent is still starting; try again in a moment");
    return this.#agent;
  }

  /** The agent came to an end of its own, and has said so. */
  #agentEnded(end: Pick<SessionEnd, "reason" | "detail">): void {
    if (this.#end || this.#isStopping) return;
    this.#finish({ ...end, at: this.#now() });
  }

  #fail(message: string, stderrTail: string): void {
    if (this.#end || this.#isStopping) return;
    this.#options.write("error", message, { stderrTail });
    this.writer.closeOpenEntries();
    this.writer.notice("error", message, stderrTail);
    this.#finish({ reason: "failed", detail: `${message}\n${stderrTail}`.trim().slice(0, 8_192), at: this.#now() });
  }

  /** Stops the agent and ends the session. Prompts that still wait stay in the queue for a resumed session. */
  async stop(reason: SessionEnd["reason"], detail?: string): Promise<SessionEnd> {
    if (!this.#end && !this.#isStopping) {
      this.#isStopping = true;
      const agent = this.#agent;
      if (agent) {
        const stopped = await withDeadline(agent.stop().then(() => agent.exited), AGENT_STOP_MS);
        if (!stopped) this.#options.write("error", "the agent did not stop in time");
      }
      this.#finish({ reason, ...(detail === undefined ? {} : { detail }), at: this.#now() });
    }
    return await this.ended;
  }

  #finish(end: SessionEnd): void {
    this.#end = end;
    this.writer.closeOpenEntries();
    this.writer.refresh({ ended: end, isCompacting: false, retry: null });
    this.#ended.resolve(end);
    // An agent that failed half-way may have a process left.
    if (end.reason === "failed") {
      this.#agent?.stop().catch((error) => this.#options.write("warning", `stopping failed: ${errorText(error)}`));
    }
  }
}

/** The id of the message entry that a prompt makes: made from its op, so that a repeated delivery makes no second one. */
export function messageId(op: string): string {
  return op.length <= 124 ? `msg-${op}` : op;
}

function noop(): void {}

/** Whether the promise settled (either way) within the time. */
async function withDeadline(promise: Promise<unknown>, maxMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), maxMs);
  try {
    return await Promise.race([promise.then(() => true, () => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
