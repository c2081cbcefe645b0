/** Many sessions at their own pace: each host says 2 records and 10 deltas a second, evenly spread over all of them. */
import type { Faults } from "./ledger.ts";
import { type PairOptions, SessionPair } from "./session_pair.ts";
import { STEPS } from "./script.ts";

/** Steps of one session in a second: one entry of two records and ten deltas. */
const STEPS_PER_S = STEPS;
/** Sessions that are opened at once. */
const OPENED_AT_ONCE = 40;
const SETTLE_MS = 30_000;
const LOOK_MS = 20;

export interface FleetRun {
  /** From a message's sending to its arrival, in ms. */
  latencies: Float64Array;
  messages: number;
  /** By how much the load fell behind its own schedule at most, in ms: the load's fault, not the hub's. */
  lagMs: number;
  elapsedMs: number;
}

export class Fleet implements AsyncDisposable {
  readonly pairs: SessionPair[] = [];
  readonly #optionsOf: (no: number) => Omit<PairOptions, "onLatency">;
  readonly #isCounted: (pair: SessionPair) => boolean;
  #latencies: number[] | null = null;

  /** @param isCounted whether the latency of a message of this session counts now; default: always */
  constructor(
    optionsOf: (no: number) => Omit<PairOptions, "onLatency">,
    isCounted: (pair: SessionPair) => boolean = () => true,
  ) {
    this.#optionsOf = optionsOf;
    this.#isCounted = isCounted;
  }

  /** Opens sessions until there are `count`. */
  async grow(count: number): Promise<void> {
    const onLatency = (ms: number, pair: SessionPair) => {
      if (this.#latencies !== null && this.#isCounted(pair)) this.#latencies.push(ms);
    };
    while (this.pairs.length < count) {
      const added = Array.from(
        { length: Math.min(OPENED_AT_ONCE, count - this.pairs.length) },
        (_, i) => new SessionPair({ ...this.#optionsOf(this.pairs.length + i), onLatency }),
      );
      this.pairs.push(...added);
      await Promise.all(added.map((pair) => pair.open()));
    }
  }

  /** Lets all sessions speak for `durationMs`; what they say in the first `warmUpMs` is not measured. */
  async run(durationMs: number, warmUpMs: number): Promise<FleetRun> {
    const perMs = this.pairs.length * STEPS_PER_S / 1_000;
    const latencies: number[] = [];
    let messages = 0;
    let lagMs = 0;
    const startMs = performance.now();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      const elapsedMs = Math.min(performance.now() - startMs, durationMs + warmUpMs);
      if (elapsedMs >= warmUpMs) this.#latencies = latencies;
      const due = Math.floor(elapsedMs * perMs);
      if (elapsedMs >= warmUpMs) lagMs = Math.max(lagMs, (due - messages) / perMs);
      for (; messages < due; messages++) this.pairs[messages % this.pairs.length]!.step();
      if (elapsedMs >= durationMs + warmUpMs) resolve();
    }, 1);
    await promise;
    clearInterval(timer);
    const elapsedMs = performance.now() - startMs;
    await this.settled();
    this.#latencies = null;
    return { latencies: Float64Array.from(latencies), messages, lagMs, elapsedMs };
  }

  /** Waits until everything is acknowledged and shown, or nothing helps any more. */
  async settled(): Promise<void> {
    const deadlineMs = performance.now() + SETTLE_MS;
    while (performance.now() < deadlineMs) {
      const fault = this.pairs.find((pair) => pair.fault !== null)?.fault;
      if (fault) throw fault;
      if (this.pairs.every((pair) => pair.isSettled)) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  faults(): Faults {
    const sum: Faults = { lost: 0, duplicated: 0, reordered: 0 };
    for (const pair of this.pairs) {
      const { lost, duplicated, reordered } = pair.faults();
      sum.lost += lost;
      sum.duplicated += duplicated;
      sum.reordered += reordered;
    }
    return sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.pairs.map((pair) => pair[Symbol.asyncDispose]()));
  }
}
