/** A runner daemon that is connected to this isolate, and the questions that it has not answered yet. */
import { closeCodes, type DeliveredCommand } from "@/protocol/mod.ts";
import type { RunnerLease } from "@/lib/session/types.ts";
import type { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import type { MeshCalls, RunnerQuestion } from "./topics.ts";

/** How long a runner may take to answer. */
export const REQUEST_TIMEOUT_MS = 15_000;
/** Questions to one runner that may be under way at once. */
const MAX_REQUESTS = 64;

type RunnerAnswer = MeshCalls["runner_request"]["answer"];

interface PendingRequest {
  answers: "file_result" | "agents_list";
  timer: ReturnType<typeof setTimeout>;
  settle(answer: RunnerAnswer): void;
}

export class LiveRunner {
  readonly lease: RunnerLease;
  readonly connection: Connection;
  readonly #ctx: GatewayContext;
  readonly #requests = new Map<string, PendingRequest>();
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
  ask(question: RunnerQuestion): Promise<RunnerAnswer> {
    if (this.#isOver) return Promise.resolve(unavailable("the runner is not connected"));
    if (this.#requests.size >= MAX_REQUESTS) {
      return Promise.resolve(unavailable(`${MAX_REQUESTS} questions wait for this runner already; try again`));
    }
    const requestId = crypto.randomUUID();
    return new Promise((resolve) => {
      const settle = (answer: RunnerAnswer) => {
        clearTimeout(timer);
        this.#requests.delete(requestId);
        resolve(answer);
      };
      const timer = setTimeout(
        () => settle(unavailable(`the runner did not answer within ${REQUEST_TIMEOUT_MS / 1000} s`)),
        REQUEST_TIMEOUT_MS,
      );
      const answers = question.type === "list_files" ? "file_result" : "agents_list";
      this.#requests.set(requestId, { answers, timer, settle });
      this.connection.send({ ...question, requestId });
    });
  }

  /** Takes an answer. False: nothing waits for it (it came too late, or twice). */
  answer(message: { type: "file_result" | "agents_list"; requestId: string }): boolean {
    const request = this.#requests.get(message.requestId);
    if (request?.answers !== message.type) return false;
    request.settle({ ok: true, answer: message });
    return true;
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
    for (const request of [...this.#requests.values()]) request.settle(unavailable("the runner went offline"));
    const { liveRunners } = this.#ctx;
    if (liveRunners.get(this.lease.runnerId) === this) liveRunners.delete(this.lease.runnerId);
  }
}

function unavailable(message: string): RunnerAnswer {
  return { ok: false, code: "unavailable", message };
}
