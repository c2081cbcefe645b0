/** Which of a session's messages one viewer got, when, and what was wrong with their order. */

export interface Faults {
  lost: number;
  duplicated: number;
  reordered: number;
}

export class Ledger {
  #next = 0;
  readonly #missing = new Set<number>();
  /** Set after a catch-up: what live messages repeat of it is no fault until the first that is new. */
  #isFresh = true;
  #duplicated = 0;
  #reordered = 0;
  readonly #onFirst: (n: number) => void;

  /** @param onFirst told of each message when it arrives for the first time */
  constructor(onFirst: (n: number) => void) {
    this.#onFirst = onFirst;
  }

  /** Messages that are here, when none is missing. */
  get next(): number {
    return this.#next;
  }

  /** The messages [from, to) came live. */
  live(from: number, to: number): void {
    for (let n = from; n < to; n++) {
      if (n >= this.#next) {
        this.#isFresh = false;
        this.#take(n);
      } else if (this.#missing.delete(n)) {
        this.#reordered++;
        this.#onFirst(n);
      } else if (!this.#isFresh) this.#duplicated++;
    }
  }

  /** What a catch-up holds stands for [from, to). */
  caughtUp(from: number, to: number): void {
    this.#isFresh = true;
    for (let n = from; n < to; n++) {
      if (n >= this.#next) this.#take(n);
      else if (this.#missing.delete(n)) this.#onFirst(n);
    }
  }

  #take(n: number): void {
    for (let missing = this.#next; missing < n; missing++) this.#missing.add(missing);
    this.#next = n + 1;
    this.#onFirst(n);
  }

  /** What is wrong when `sent` messages were sent and no more come. */
  faults(sent: number): Faults {
    const lost = this.#missing.size + Math.max(0, sent - this.#next);
    return { lost, duplicated: this.#duplicated, reordered: this.#reordered };
  }
}
