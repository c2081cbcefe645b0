/** Who used a tunnel on this isolate: requests and sockets that are over, the newest ones, and those that are under way. */
import { ChurnTable } from "@/protocol/churn_table.ts";
import { type AccessEntry, tunnelLimits } from "@/protocol/tunnel.ts";

/** What is over sooner is not worth a line while it is under way. */
const OPEN_AFTER_MS = 1_000;

/** One request or socket, from its beginning. */
export interface AccessLine {
  key: number;
  at: number;
  method: string;
  path: string;
  who: string;
  startMs: number;
  /** Bytes of bodies so far. */
  bytes: number;
}

export class AccessLog {
  readonly #over: AccessEntry[];
  readonly #open = new ChurnTable<AccessLine>();
  /** Lines under way that were given out as such. */
  #shown: ReadonlySet<AccessLine> = new Set();
  #isChanged = false;

  /** `earlier`: what is over, as it was last taken. */
  constructor(earlier: readonly AccessEntry[]) {
    this.#over = earlier.filter(({ ms }) => ms !== null).slice(-tunnelLimits.logEntries);
  }

  /** A request or socket begins. Strangers choose what it says of itself: it is cut to what the log keeps. */
  begin(method: string, target: string, who: string, nowMs: number): AccessLine {
    const line: AccessLine = {
      key: 0,
      at: Date.now(),
      method: printable(method).slice(0, tunnelLimits.logMethodChars),
      path: printable(target).slice(0, tunnelLimits.logPathChars),
      who: who.slice(0, tunnelLimits.logWhoChars),
      startMs: nowMs,
      bytes: 0,
    };
    line.key = this.#open.add(line);
    return line;
  }

  /** It is over. */
  end(line: AccessLine, status: number, nowMs: number): void {
    if (!this.#open.delete(line.key)) return;
    if (this.#over.length >= tunnelLimits.logEntries) this.#over.shift();
    this.#over.push(entryOf(line, status, Math.max(0, Math.round(nowMs - line.startMs))));
    this.#isChanged = true;
  }

  /** All that is to be kept: what is over in the order of its end, then what is under way. Null: as it was taken before. */
  take(nowMs: number): AccessEntry[] | null {
    const open = this.#open.values().filter(({ startMs }) => nowMs - startMs >= OPEN_AFTER_MS)
      .slice(-tunnelLimits.logOpenEntries);
    if (!this.#isChanged && open.length === this.#shown.size && open.every((line) => this.#shown.has(line))) {
      return null;
    }
    this.#isChanged = false;
    this.#shown = new Set(open);
    return [...this.#over, ...open.map((line) => entryOf(line, null, null))];
  }
}

function entryOf({ at, method, path, who, bytes }: AccessLine, status: number | null, ms: number | null): AccessEntry {
  return { at, method, path, status, bytes, ms, who };
}

function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]/g, "?");
}
