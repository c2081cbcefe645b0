/** An agent's process: its pipes, the end of its stderr, and an orderly end for it and all that it started. */
import type { AgentExit } from "./agent.ts";
import { AgentStartError } from "./agent.ts";
import { outputEndMs, withinMs } from "./within.ts";

/** How much of stderr is kept. */
export const stderrTailChars = 4_000;
/** After stdin was closed, how long the process may take before SIGTERM, and then before SIGKILL. */
export const termAfterMs = 3_000;
export const killAfterMs = 2_000;

export interface ProcessOptions {
  /** Program and arguments; run without a shell. */
  command: string[];
  cwd: string;
  /** The whole environment; nothing is inherited. */
  env: Record<string, string>;
  /** Other times than termAfterMs and killAfterMs. */
  termAfterMs?: number;
  killAfterMs?: number;
}

/** What an adapter needs of its agent's process. */
export interface AgentPipes {
  readonly stdin: WritableStream<Uint8Array<ArrayBuffer>>;
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly exited: Promise<AgentExit>;
  stop(): Promise<AgentExit>;
}

/** Starts an agent's process; throws AgentStartError. */
export type StartProcess = (options: ProcessOptions) => AgentPipes;

export class AgentProcess implements AgentPipes {
  /** Writes to the process's stdin. Only `stop` closes the pipe. */
  readonly stdin: WritableStream<Uint8Array<ArrayBuffer>>;
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Resolves once, when the process is gone. */
  readonly exited: Promise<AgentExit>;
  readonly #child: Deno.ChildProcess;
  readonly #stdinWriter: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #stderrTail = "";
  readonly #termAfterMs: number;
  readonly #killAfterMs: number;
  #isGone = false;

  /** Starts the program in a process group of its own. Throws AgentStartError when it cannot be started. */
  constructor(options: ProcessOptions) {
    this.#termAfterMs = options.termAfterMs ?? termAfterMs;
    this.#killAfterMs = options.killAfterMs ?? killAfterMs;
    const [program, ...args] = options.command;
    if (program === undefined) throw new AgentStartError("the agent's command is empty", "");
    try {
      this.#child = new Deno.Command(program, {
        args,
        cwd: options.cwd,
        env: options.env,
        clearEnv: true,
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
        detached: Deno.build.os !== "windows",
      }).spawn();
    } catch (error) {
      const why = error instanceof Deno.errors.NotFound
        ? `"${program}" or the folder ${options.cwd} does not exist`
        : error instanceof Error
        ? error.message
        : String(error);
      throw new AgentStartError(`the agent could not be started: ${why}`, "");
    }
    const writer = this.#stdinWriter = this.#child.stdin.getWriter();
    writer.closed.catch(() => {});
    this.stdin = new WritableStream({ write: (chunk) => writer.write(chunk) });
    this.stdout = this.#child.stdout;
    const stderrEnd = this.#readStderr();
    this.exited = this.#child.status.then(async (status) => {
      this.#isGone = true;
      // What it started would otherwise stay behind, and keep its pipes open.
      this.#signal("SIGKILL");
      await withinMs(stderrEnd, outputEndMs);
      return { code: status.signal ? null : status.code, signal: status.signal, stderrTail: this.#stderrTail };
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The last lines of stderr so far. */
  get stderrTail(): string {
    return this.#stderrTail;
  }

  /** Closes stdin once all was written, then SIGTERM, then SIGKILL; resolves when it is gone. */
  async stop(): Promise<AgentExit> {
    this.#stdinWriter.close().catch(() => {});
    const term = setTimeout(() => this.#signal("SIGTERM"), this.#termAfterMs);
    const kill = setTimeout(() => this.#signal("SIGKILL"), this.#termAfterMs + this.#killAfterMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(term);
      clearTimeout(kill);
    }
  }

  /** Signals the whole process group; on Windows, which has none, the process alone. */
  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    try {
      if (Deno.build.os === "windows") {
        if (!this.#isGone) this.#child.kill(signal);
      } else Deno.kill(-this.#child.pid, signal);
    } catch {
      // Nobody is left in the group.
    }
  }

  async #readStderr(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of this.#child.stderr) {
        this.#stderrTail = (this.#stderrTail + decoder.decode(chunk, { stream: true })).slice(-stderrTailChars);
      }
    } catch {
      // The pipe broke with the process; what was read stays.
    }
  }
}
