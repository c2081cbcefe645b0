/** A runner daemon that is connected to this isolate, and the questions that it has not answered yet. */
import { closeCodes, type DeliveredCommand } from "@/protocol/mod.ts";
import type { RunnerLease } from "@/lib/session/types.ts";
import type { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import { Questions, type Reply, unavailable } from "./questions.ts";
import type { RunnerQuestion } from "./topics.ts";

/** The type of the answer to each question. */
const answerTypes = {
  list_files: "file_result",
  list_agents: "agents_list",
  load_history: "history_page",
  terminal_request: "terminal_result",
  expose_port: "tunnel_result",
  unexpose_port: "tunnel_result",
} as const;
type AnswerType = (typeof answerTypes)[RunnerQuestion["type"]];

export class LiveRunner {
  readonly lease: RunnerLease;
  readonly connection: Connection;
  readonly #ctx: GatewayContext;
  readonly #questions = new Questions("the runner");
  #isOver = false;

  constructor(ctx: GatewayContext, lease: RunnerLease, connection: Connection) {
    this.#ctx = ctx;
    this.lease = lease;
    this.connection = connection;
    ctx.counters.move("live_runners", "", 1);
  }

  deliver(command: DeliveredCommand): boolean {
    if (this.#isOver) return false;
    this.connection.send(command);
    return true;
  }

  /** Asks the runner. Resolves within REQUEST_TIMEOUT_MS, never rejects. */
  ask(question: RunnerQuestion): Promise<Reply> {
    if (this.#isOver) return Promise.resolve(unavailable("the runner is not connected"));
    const send = (requestId: string) => this.connection.send({ ...question, requestId });
    return this.#questions.ask(answerTypes[question.type], send);
  }

  /** Takes an answer. False: nothing waits for it (it came too late, or twice). */
  answer(message: { type: AnswerType; requestId: string }): boolean {
    return this.#questions.answer(message);
  }

  /** A session of this runner was deleted: it is to stop its host and to remove what it keeps. */
  sessionDeleted(sessionId: string): void {
    if (!this.#isOver) this.connection.send({ type: "session_deleted", sessionId });
  }

  /** A newer registration took over. The socket is closed unless it is `successor`'s. */
  supersede(successor?: Connection): void {
    this.#end();
    if (this.connection === successor) return;
    this.connection.sendError({ code: "stale_epoch", message: "a newer registration of this runner took over" });
    this.connection.close(closeCodes.replaced, "replaced by a newer registration");
  }

  /** The runner was removed from the hub. */
  expire(): void {
    this.#end();
    this.connection.close(closeCodes.deleted, "the runner was removed");
  }

  /** The socket is gone: gives the lease back. */
  async detach(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    await this.#ctx.store.runners.release(this.lease);
    this.#ctx.hints.runner(this.lease.userId, this.lease.runnerId);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ctx.counters.move("live_runners", "", -1);
    this.#questions.end();
    const { liveRunners } = this.#ctx;
    if (liveRunners.get(this.lease.runnerId) === this) liveRunners.delete(this.lease.runnerId);
  }
}
