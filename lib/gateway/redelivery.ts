/**
 * Commands that wait although their target is connected here: the isolate that stored one died, or could not reach this one, before
 * it was handed over. They are looked for now and then, and soon after an isolate is gone.
 */
import { errorText } from "@/lib/log.ts";
import type { InboxTarget } from "@/lib/session/types.ts";
import { deliverHere } from "./commands.ts";
import type { GatewayContext } from "./context.ts";

const LOOK_MS = 30_000;
/** A command that waits for less than this is on its way. */
const WAITED_MS = 5_000;

/** Its maker disposes it. */
export class Redelivery {
  readonly #ctx: GatewayContext;
  readonly #waitedMs: number;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #looking: Promise<void> | null = null;
  #isOver = false;

  constructor(ctx: GatewayContext, waitedMs: number = WAITED_MS) {
    this.#ctx = ctx;
    this.#waitedMs = waitedMs;
    this.#schedule(LOOK_MS);
  }

  /** Looks once what waits cannot be on its way any more. Called when an isolate is gone. */
  soon(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#schedule(this.#waitedMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#looking;
  }

  #schedule(inMs: number): void {
    if (this.#isOver) return;
    this.#timer = setTimeout(() => {
      this.#looking ??= this.#look().catch((error) => {
        this.#ctx.log.warn("redelivery_failed", { error: errorText(error) });
      }).finally(() => {
        this.#looking = null;
        // Isolates must not all look at once.
        this.#schedule(LOOK_MS * (0.75 + Math.random() / 2));
      });
    }, inMs);
  }

  async #look(): Promise<void> {
    const { store, liveSessions, liveRunners, counters } = this.#ctx;
    const targets: InboxTarget[] = [
      ...[...liveSessions.keys()].map((id): InboxTarget => `session:${id}`),
      ...[...liveRunners.keys()].map((id): InboxTarget => `runner:${id}`),
    ];
    for (const target of await store.inbox.waiting(targets)) {
      if (this.#isOver) return;
      for (const command of await store.inbox.pending(target)) {
        if (Date.now() - command.at < this.#waitedMs) continue;
        if (deliverHere(this.#ctx, target, command)) counters.add("commands_redelivered", "");
      }
    }
  }
}
