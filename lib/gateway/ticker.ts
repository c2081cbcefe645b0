/** Runs work at the end of the present turn of the event loop: what batching writers wait for. */
import { setImmediate } from "node:timers";

export interface Flushable {
  /** Called once for each `add`. May add itself again. */
  flush(): void;
}

/** One for a whole hub, so that a thousand sockets with something to write need one callback and no timers. */
export class Ticker {
  #waiting: Flushable[] = [];
  #isScheduled = false;

  /** `item.flush()` is called after the events that are ready now have been handled (microseconds later when idle). */
  add(item: Flushable): void {
    this.#waiting.push(item);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    const items = this.#waiting;
    this.#waiting = [];
    this.#isScheduled = false;
    for (const item of items) item.flush();
  }
}
