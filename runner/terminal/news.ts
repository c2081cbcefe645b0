/** What lists show of the runner's terminals, told when it changes: soon when one asks for a person or ends, else seldom. */
import { limits, type RunnerTerminals } from "@/protocol/mod.ts";
import { type TerminalInfo, terminalName } from "@/protocol/terminal.ts";

/** Changes within this time are told together. */
const SOON_MS = 50;
/** A program may notify all the time: this often at most. */
const URGENT_MS = 500;
/** Titles alone are told this often at most: programs make spinners of them. */
const TITLES_MS = 2_000;
const TEXT_CHARS = 200;

export class TerminalNews implements Disposable {
  readonly #list: () => TerminalInfo[];
  readonly #tell: () => void;
  readonly #now: () => number;
  #told: Shown;
  #changedAt: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = Infinity;
  #lastToldMs = -Infinity;
  #lastTitlesMs = -Infinity;
  #isOver = false;

  /**
   * @param list the terminals as they are now
   * @param tell `now` has changed
   */
  constructor(list: () => TerminalInfo[], tell: () => void, { now = Date.now }: { now?: () => number } = {}) {
    this.#list = list;
    this.#tell = tell;
    this.#now = now;
    this.#told = shownOf(list());
    this.#changedAt = now();
  }

  /** As lists are to show it now. */
  get now(): RunnerTerminals {
    const infos = this.#list();
    const attention = infos.flatMap((info) =>
      info.attention === null ? [] : {
        terminalId: info.terminalId,
        name: terminalName(info).slice(0, limits.titleChars).toWellFormed(),
        text: info.attention.text.slice(0, TEXT_CHARS).toWellFormed(),
        at: info.attention.at,
      }
    );
    return { count: infos.length, attention, changedAt: this.#changedAt };
  }

  /** Something about the terminals changed. */
  changed(): void {
    const shown = shownOf(this.#list());
    const atEarliest = (lastMs: number, intervalMs: number) =>
      Math.max(SOON_MS, lastMs + intervalMs - performance.now());
    if (shown.urgent !== this.#told.urgent) this.#tellIn(atEarliest(this.#lastToldMs, URGENT_MS));
    else if (shown.titles !== this.#told.titles) this.#tellIn(atEarliest(this.#lastTitlesMs, TITLES_MS));
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #tellIn(delayMs: number): void {
    if (this.#isOver) return;
    const dueMs = performance.now() + delayMs;
    if (this.#timer !== undefined && this.#dueMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const shown = shownOf(this.#list());
      this.#lastToldMs = performance.now();
      if (shown.titles !== this.#told.titles) this.#lastTitlesMs = performance.now();
      this.#told = shown;
      // A clock that stands still or goes back tells of a change all the same.
      this.#changedAt = Math.max(this.#now(), this.#changedAt + 1);
      this.#tell();
    }, delayMs);
  }
}

/** What of the terminals a list shows, to be compared. */
interface Shown {
  urgent: string;
  titles: string;
}

function shownOf(infos: readonly TerminalInfo[]): Shown {
  return {
    urgent: JSON.stringify(infos.map(({ terminalId, status, attention }) => [terminalId, status, attention?.text])),
    titles: JSON.stringify(infos.map(({ title }) => title)),
  };
}
