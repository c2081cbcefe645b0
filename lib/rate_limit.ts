/** Budgets of sockets and users: what may come at once, and what is won back each second. No I/O. */
import { limits } from "@/protocol/limits.ts";

/** The bounds of protocol/limits.ts that a hub enforces on peers; tests give smaller ones. */
export type Bounds = {
  -readonly [
    K in
      | "relayBurstMessages"
      | "relayMessagesPerS"
      | "relayBurstBytes"
      | "relayBytesPerS"
      | "relayIgnoredBytes"
      | "viewerBurstRequests"
      | "viewerRequestsPerS"
      | "userBurstCommands"
      | "userCommandsPerS"
      | "userSockets"
      | "userSessions"
      | "userRunners"
      | "tooManyRetryMs"
  ]: number;
};

/** `limits`, with some of them replaced. */
export function boundsOf(replaced: Partial<Bounds> = {}): Bounds {
  return { ...limits, ...replaced };
}

/**
 * A token bucket that may go into debt for one step: whatever comes passes while one is left, so that a frame larger
 * than the rest of the budget is not stuck for ever.
 */
export class Budget {
  readonly #burst: number;
  readonly #perSecond: number;
  #credit: number;
  #refilledMs: number;

  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#credit = burst;
    this.#refilledMs = nowMs;
  }

  /** Takes `amount` and returns 0; or takes nothing and returns after how many ms there is credit for a second again. */
  take(amount: number, nowMs: number): number {
    this.#refill(nowMs);
    if (this.#credit >= 1) {
      this.#credit -= amount;
      return 0;
    }
    const enough = Math.min(this.#burst, this.#perSecond);
    return Math.ceil((enough - this.#credit) / this.#perSecond * 1_000);
  }

  /** Whether nothing was taken for long: a new budget is as good. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#credit === this.#burst;
  }

  #refill(nowMs: number): void {
    this.#credit = Math.min(this.#burst, this.#credit + (nowMs - this.#refilledMs) / 1_000 * this.#perSecond);
    this.#refilledMs = nowMs;
  }
}
