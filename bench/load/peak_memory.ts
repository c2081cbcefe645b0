/** The most memory that processes take, looked at all the time. */
import { rssMb } from "./process.ts";

const LOOK_MS = 20;

export class PeakMemory<Name extends string> implements Disposable {
  readonly #pids: [Name, number][];
  readonly #idleMb: Map<Name, number>;
  readonly #peakMb: Map<Name, number>;
  readonly #timer: ReturnType<typeof setInterval>;

  /** What the processes take now is what they take when idle. */
  constructor(pids: Record<Name, number>) {
    this.#pids = Object.entries(pids) as [Name, number][];
    this.#idleMb = new Map(this.#pids.map(([name, pid]) => [name, rssMb(pid)]));
    this.#peakMb = new Map(this.#idleMb);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    for (const [name, pid] of this.#pids) this.#peakMb.set(name, Math.max(this.#peakMb.get(name)!, rssMb(pid)));
  }

  /** The most that a process took (resident set) beyond what it took when idle, in MiB. */
  overIdleMb(name: Name): number {
    this.#look();
    return this.#peakMb.get(name)! - this.#idleMb.get(name)!;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
