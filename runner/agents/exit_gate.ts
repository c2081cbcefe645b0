/** Tells of an agent's end once, and never before a failed start has said why it failed: that says more than an exit code. */
import type { AgentExit } from "./agent.ts";

export class ExitGate {
  /** The process is gone and all is closed. For those inside the adapter. */
  readonly ended: Promise<AgentExit>;
  /** As `ended`, for those outside: after whoever waits for the start has read its error. */
  readonly exited: Promise<AgentExit>;
  readonly #ended = Promise.withResolvers<AgentExit>();
  readonly #exited = Promise.withResolvers<AgentExit>();
  #isStarting = false;

  constructor() {
    this.ended = this.#ended.promise;
    this.exited = this.#exited.promise;
  }

  /** Runs the start; rejects as it does. */
  async starting(work: () => Promise<void>): Promise<void> {
    this.#isStarting = true;
    try {
      await work();
      this.ended.then((exit) => this.#exited.resolve(exit));
    } catch (error) {
      this.ended.then((exit) => setTimeout(() => this.#exited.resolve(exit)));
      throw error;
    } finally {
      this.#isStarting = false;
    }
  }

  /** The end has come. Only the first call counts. */
  end(exit: AgentExit = { code: null, signal: null, stderrTail: "" }): void {
    this.#ended.resolve(exit);
    if (!this.#isStarting) this.#exited.resolve(exit);
  }
}
