/** A child process of a test: its lines, its end, and the certainty that it is gone when the test is over. */
import { TextLineStream } from "./lines.ts";
import { Changes, within } from "./patience.ts";

export interface ChildOptions {
  args: string[];
  cwd?: string;
  env?: Record<string, string>;
  /** File that gets its stderr; appended to. */
  logPath: string;
  /** Program; default: this deno. */
  program?: string;
}

export class Child implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #changes = new Changes();
  /** What it printed to stdout, line by line. */
  readonly lines: string[] = [];
  readonly logPath: string;
  #isOver = false;
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #pumps: Promise<void>;

  constructor({ args, cwd, env, logPath, program }: ChildOptions) {
    this.logPath = logPath;
    this.#child = new Deno.Command(program ?? Deno.execPath(), {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
    }).spawn();
    this.#pumps = Promise.all([this.#readLines(), this.#keepLog()]).then(() => {});
    this.ended = this.#child.status.then((status) => {
      this.#isOver = true;
      this.#changes.notify();
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }
  get isOver(): boolean {
    return this.#isOver;
  }

  async #readLines(): Promise<void> {
    const lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
    for await (const line of lines) {
      this.lines.push(line);
      this.#changes.notify();
    }
  }

  async #keepLog(): Promise<void> {
    using file = await Deno.open(this.logPath, { append: true, create: true });
    // Not through `file.writable`, which keeps what it is given until it is closed.
    for await (const chunk of this.#child.stderr) {
      for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
    }
  }

  /** The first match in its stdout. Rejects with the end of its log when it ends without one. */
  async line(pattern: RegExp, what: string): Promise<RegExpExecArray> {
    const find = () => {
      for (const line of this.lines) {
        const match = pattern.exec(line);
        if (match) return match;
      }
      if (this.#isOver) throw new Error(`the process ended before ${what}; its log: ${logTail(this.logPath)}`);
      return null;
    };
    return await this.#changes.until(find, what, 60_000);
  }

  /** SIGKILL, and waits for the end. */
  async kill9(): Promise<void> {
    this.#signal("SIGKILL");
    await this.ended;
  }

  /** Asks it to end, and waits for that; SIGKILL when it does not come. */
  async stop(signal: "SIGTERM" | "SIGINT" = "SIGTERM"): Promise<Deno.CommandStatus> {
    this.#signal(signal);
    try {
      return await within(this.ended, `the end of process ${this.pid} after ${signal}`, 30_000);
    } catch (error) {
      await this.kill9();
      throw error;
    }
  }

  #signal(signal: Deno.Signal): void {
    if (this.#isOver) return;
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended in this moment.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill9();
    await this.#pumps;
  }
}

/** Ends a process that is not a child of this one; gone already is fine. */
export function killPid(pid: number, signal: Deno.Signal = "SIGKILL"): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
  }
}

/** Whether a process of this id is there, not counting one that has ended and waits to be reaped. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

/** The end of a log file. */
export function logTail(path: string, chars = 3_000): string {
  try {
    return Deno.readTextFileSync(path).slice(-chars);
  } catch {
    return "(none)";
  }
}
