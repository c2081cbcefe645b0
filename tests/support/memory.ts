/** How much processes grow while something goes on. Linux alone tells it: elsewhere nothing grows. */

const LOOK_MS = 20;

export class MemoryWatch implements Disposable {
  /** Resident bytes at the start, and the most since, by process. */
  readonly #processes = new Map<number, { idle: number; peak: number }>();
  readonly #timer: ReturnType<typeof setInterval>;

  private constructor(pids: readonly number[]) {
    for (const pid of pids) this.#processes.set(pid, { idle: residentBytes(pid), peak: 0 });
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Watches a process and those that it has started so far. */
  static async of(pid: number): Promise<MemoryWatch> {
    const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
    return new MemoryWatch([pid, ...children.split(" ").map(Number).filter(Boolean)]);
  }

  /** By how much the one that grew most did, at its largest. */
  grownBytes(): number {
    this.#look();
    return Math.max(...[...this.#processes.values()].map(({ idle, peak }) => peak - idle));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const [pid, process] of this.#processes) process.peak = Math.max(process.peak, residentBytes(pid));
  }
}

/** The resident memory of a process; 0 when it is gone, or where nobody tells. */
export function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
