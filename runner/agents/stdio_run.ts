/**
 * What every agent that speaks over stdio has in common, whatever it speaks: a process, at most one turn, a timeline, questions to
 * people, timers, and one end.
 */
import { type Agent, type AgentContext, type AgentExit, AgentStartError, type TurnEnd } from "./agent.ts";
import { ExitGate } from "./exit_gate.ts";
import { describeExit } from "./exit_text.ts";
import { Interactions } from "./interactions.ts";
import { patchChanged } from "./meta_changes.ts";
import { orExit } from "./or_exit.ts";
import type { AgentPipes, StartProcess } from "./process.ts";
import { Timeline } from "./timeline.ts";
import { clip } from "./tool_output.ts";
import { TurnClock, type TurnTiming, turnTiming } from "./turn_clock.ts";
import { outputEndMs, withinMs } from "./within.ts";

/** Kinds of unknown things that are told, one line each. */
const MAX_UNKNOWN = 100;

/** A prompt that the agent works on. */
export interface Turn {
  resolve(end: TurnEnd): void;
  isCancelled: boolean;
}

export interface StdioRunOptions {
  /** The agent's name in messages. */
  name: string;
  startProcess: StartProcess;
  timing?: TurnTiming;
  /** Nobody expects output now, for a reason of this kind of agent's own. */
  isQuietNormal?(): boolean;
  /** A turn has ended in the timeline, and is about to be told. */
  onTurnEnded?(): void;
  /** The process is gone, and its last turn has ended. */
  onGone(): void;
}

export class StdioRun<T extends Turn> {
  readonly name: string;
  readonly timeline: Timeline;
  readonly interactions: Interactions;
  readonly clock: TurnClock;
  /** The prompt that is worked on. Set by `beginTurn`. */
  turn: T | null = null;
  isStopping = false;
  isGone = false;
  process: AgentPipes | null = null;
  readonly #context: AgentContext;
  readonly #options: StdioRunOptions;
  readonly #gate = new ExitGate();
  readonly #unknownSeen = new Set<string>();

  constructor(context: AgentContext, options: StdioRunOptions) {
    this.#context = context;
    this.#options = options;
    this.name = options.name;
    this.timeline = new Timeline(context.session);
    this.interactions = new Interactions(context.session);
    this.clock = new TurnClock(options.timing ?? turnTiming, {
      isQuietNormal: () =>
        this.interactions.size > 0 || this.timeline.hasOpenTool || (options.isQuietNormal?.() ?? false),
      onSilence: (message) =>
        patchChanged(context.session, { retry: message === null ? null : { message, at: Date.now() } }),
      onCancelTimeout: (message) => {
        this.timeline.notice("warning", `${this.name} did not confirm the cancel ${message}`);
        this.endTurn({ outcome: "cancelled" });
      },
      onStray: () => this.timeline.closeText(),
    });
  }

  get exited(): Promise<AgentExit> {
    return this.#gate.exited;
  }

  /** Runs the start of the agent; rejects as it does. */
  starting(work: () => Promise<void>): Promise<void> {
    return this.#gate.starting(work);
  }

  /**
   * Starts the process, and then what reads its output: `read` gives the end of that. Throws AgentStartError when there is no
   * process.
   */
  launch(command: string[], env: Record<string, string>, read: (process: AgentPipes) => Promise<unknown>): AgentPipes {
    let process: AgentPipes;
    try {
      process = this.#options.startProcess({ command, cwd: this.#context.cwd, env });
    } catch (error) {
      this.#gate.end();
      throw error;
    }
    this.process = process;
    const outputEnd = read(process);
    process.exited.then(async (exit) => {
      // What it said last may still be in the pipe.
      await withinMs(outputEnd, outputEndMs);
      this.#gone(exit);
    });
    return process;
  }

  /** The agent could not be started: stops its process and gives the error to throw, with the end of its stderr. */
  async failedStart(process: AgentPipes, message: string): Promise<AgentStartError> {
    this.isStopping = true;
    const exit = await process.stop();
    return new AgentStartError(message, exit.stderrTail);
  }

  /** Why no prompt can be taken now; null: one can. */
  get unready(): string | null {
    if (this.process === null || this.isStopping) return `${this.name} is not running`;
    return this.turn === null ? null : `${this.name} is still working on the last prompt`;
  }

  /** The end of a prompt that was not taken. */
  failedPrompt(message: string): TurnEnd {
    this.timeline.notice("error", message);
    return { outcome: "failed", message };
  }

  beginTurn(turn: T): void {
    this.turn = turn;
    this.clock.turnStarted();
  }

  endTurn(end: TurnEnd): void {
    const { turn } = this;
    if (!turn) return;
    this.turn = null;
    this.clock.turnEnded();
    this.interactions.withdrawAll();
    this.timeline.endTurn(end.outcome);
    this.#options.onTurnEnded?.();
    turn.resolve(end);
  }

  answer(answer: Parameters<Agent["answer"]>[0]): Promise<void> {
    try {
      this.interactions.answer(answer);
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    this.interactions.withdrawAll();
    if (this.process) await this.process.stop();
    else this.#gate.end();
    await this.exited;
  }

  /** See orExit. */
  orExit<R>(work: Promise<R>, timeoutMs: number, isAnswer: (error: unknown) => boolean): Promise<R> {
    return orExit(work, { name: this.name, exited: this.#gate.ended, timeoutMs, isAnswer });
  }

  /** Unknown things are normal between versions; each kind is worth one line. */
  logOnce(what: string, name: string): void {
    const key = `${what} ${name}`;
    if (this.#unknownSeen.has(key) || this.#unknownSeen.size >= MAX_UNKNOWN) return;
    this.#unknownSeen.add(key);
    this.#context.log("info", `ignored an unknown ${what} of the agent`, { name: clip(name, 200) });
  }

  #gone(exit: AgentExit): void {
    const isExpected = this.isStopping || this.turn?.isCancelled;
    this.isStopping = this.isGone = true;
    this.interactions.withdrawAll();
    if (this.turn) {
      if (isExpected) this.endTurn({ outcome: "cancelled" });
      else {
        const message = `${this.name} ended while it worked (${describeExit(exit)})`;
        this.timeline.notice("error", message, exit.stderrTail);
        this.endTurn({ outcome: "failed", message });
      }
    }
    this.timeline.endTurn("cancelled");
    this.clock.dispose();
    this.#options.onGone();
    this.#gate.end(exit);
  }
}
