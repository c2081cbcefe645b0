/** Notices of a program that may send thousands: the first ones of a while are written, the rest is counted and said. */

/** Notices in WINDOW_MS that are written one by one. */
export const NOTICES = 20;
const WINDOW_MS = 60_000;

export class NoticeBudget implements Disposable {
  readonly #write: (text: string, detail?: string) => void;
  #written = 0;
  #left = 0;
  #last = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(write: (text: string, detail?: string) => void) {
    this.#write = write;
  }

  /** Writes the notice, or counts it. */
  add(text: string): void {
    this.#timer ??= setTimeout(() => this.flush(), WINDOW_MS);
    if (this.#written < NOTICES) {
      this.#written++;
      this.#write(text);
    } else {
      this.#left++;
      this.#last = text;
    }
  }

  /** Says how many were left out, and begins anew. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#left > 0) this.#write(`${this.#left} more notifications were left out`, `The last one: ${this.#last}`);
    this.#written = 0;
    this.#left = 0;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
