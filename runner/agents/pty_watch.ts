/**
 * What a program in a terminal is doing, judged from outside: whether output flows, and whether it asks for a person. Pure but for
 * its timers; the terminal tells it what happened.
 */

/** Output soon after a person did something is its echo, or the screen drawn for a new size. */
export const ECHO_MS = 1_000;
/** A program works until nothing came for this long. */
export const WORK_MS = 3_000;
/** A program that worked and then was quiet for this long may wait for a person. */
export const SILENCE_MS = 30_000;

export interface PtyState {
  isWorking: boolean;
  /** It rang, notified, or went quiet, and nobody has come since. */
  needsYou: boolean;
}

export interface PtyWatchOptions {
  /** As SILENCE_MS; 0: silence means nothing. */
  silenceMs: number;
  workMs?: number;
  echoMs?: number;
  onState(state: PtyState): void;
  /** It has just been quiet for silenceMs, and nobody looks. */
  onSilence(): void;
  now?: () => number;
}

export class PtyWatch implements Disposable {
  readonly #options: PtyWatchOptions;
  #state: PtyState = { isWorking: false, needsYou: false };
  /** When something last happened that a program answers by drawing. */
  #lastEchoedMs = -Infinity;
  #viewers = 0;
  #workTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PtyWatchOptions) {
    this.#options = options;
  }

  /** Something came from the program. */
  output(): void {
    const { echoMs = ECHO_MS, workMs = WORK_MS, silenceMs } = this.#options;
    const isEcho = this.#now() - this.#lastEchoedMs < echoMs;
    // What follows an echo within its time cannot be told from it; a silence that is counted begins again with any output.
    if (isEcho && this.#workTimer === undefined && this.#silenceTimer === undefined) return;
    if (!isEcho || this.#workTimer !== undefined) {
      clearTimeout(this.#workTimer);
      this.#workTimer = setTimeout(() => {
        this.#workTimer = undefined;
        this.#set({ isWorking: false });
      }, workMs);
      this.#set({ isWorking: true });
    }
    if (silenceMs === 0 || (isEcho && this.#silenceTimer === undefined)) return;
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#quiet(), silenceMs);
  }

  /** It rang or notified. */
  raised(): void {
    this.#stopSilence();
    this.#set({ needsYou: true });
  }

  /** Its size changed: what it draws now is no work. */
  resized(): void {
    this.#lastEchoedMs = this.#now();
  }

  /** Somebody typed or opened it. */
  person(): void {
    this.#lastEchoedMs = this.#now();
    this.#stopSilence();
    this.#set({ needsYou: false });
  }

  /** How many look at it now. */
  viewers(count: number): void {
    this.#viewers = count;
  }

  /** The program is gone, or begins anew. */
  reset(): void {
    this.#lastEchoedMs = -Infinity;
    clearTimeout(this.#workTimer);
    this.#workTimer = undefined;
    this.#stopSilence();
    this.#set({ isWorking: false, needsYou: false });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#workTimer);
    this.#stopSilence();
  }

  #quiet(): void {
    this.#silenceTimer = undefined;
    // Who looks sees it.
    if (this.#viewers > 0 || this.#state.needsYou) return;
    this.#options.onSilence();
    this.#set({ needsYou: true });
  }

  #stopSilence(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = undefined;
  }

  #set(change: Partial<PtyState>): void {
    const next = { ...this.#state, ...change };
    if (next.isWorking === this.#state.isWorking && next.needsYou === this.#state.needsYou) return;
    this.#state = next;
    this.#options.onState(next);
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }
}
