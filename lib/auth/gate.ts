/** Lets a few run at once and a bounded number wait: password hashing takes 32 MB and ~50 ms of a core each. */
import { AuthError } from "./errors.ts";

export class Gate {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(private readonly runningMax: number, private readonly waitingMax: number) {}

  /** Runs `work` when there is room. Throws `busy` (503) when too many wait already. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.runningMax) {
      if (this.#waiting.length >= this.waitingMax) {
        throw new AuthError(503, "busy", "Too many sign-ins at once; try again in a few seconds", {
          retryAfterMs: 3_000,
        });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running++;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
