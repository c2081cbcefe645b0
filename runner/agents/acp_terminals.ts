/** ACP's terminal/* requests: commands that an agent runs through its client. Bounded in number and output. */
import { RequestError } from "@agentclientprotocol/sdk";
import { sep } from "node:path";
import { arrayOf, countOf, objectOf, stringOf } from "./read.ts";
import { takeEnd } from "./tool_output.ts";

/** Most terminals of one agent that are not released. */
export const maxTerminals = 32;
/** Most output kept of one terminal, in characters; the beginning goes first. Agents may ask for less. */
export const maxTerminalChars = 1024 * 1024;

interface ExitStatus {
  exitCode: number | null;
  signal: string | null;
}

interface Terminal {
  child: Deno.ChildProcess;
  output: string;
  isTruncated: boolean;
  exit: ExitStatus | null;
  exited: Promise<ExitStatus>;
}

export class AcpTerminals {
  readonly #cwd: string;
  readonly #env: Record<string, string>;
  readonly #onOutput: (terminalId: string, text: string) => void;
  readonly #terminals = new Map<string, Terminal>();

  /** `cwd` is a real path; `onOutput` gets what each command prints, as it comes. */
  constructor(cwd: string, env: Record<string, string>, onOutput: (terminalId: string, text: string) => void) {
    this.#cwd = cwd;
    this.#env = env;
    this.#onOutput = onOutput;
  }

  /** The requests to serve, by method. */
  requests(): Record<string, (params: unknown) => Promise<unknown>> {
    return {
      "terminal/create": (params) => this.#create(params),
      "terminal/output": (params) => {
        const terminal = this.#find(params);
        return Promise.resolve({
          output: terminal.output,
          truncated: terminal.isTruncated,
          ...(terminal.exit ? { exitStatus: terminal.exit } : {}),
        });
      },
      "terminal/wait_for_exit": (params) => this.#find(params).exited,
      "terminal/kill": (params) => {
        kill(this.#find(params));
        return Promise.resolve({});
      },
      "terminal/release": (params) => {
        const terminal = this.#find(params);
        kill(terminal);
        this.#terminals.delete(stringOf(objectOf(params).terminalId) ?? "");
        return Promise.resolve({});
      },
    };
  }

  /** Kills all that still run. */
  dispose(): void {
    for (const terminal of this.#terminals.values()) kill(terminal);
    this.#terminals.clear();
  }

  async #create(params: unknown): Promise<{ terminalId: string }> {
    const { command, args, cwd, env, outputByteLimit } = objectOf(params);
    if (typeof command !== "string" || command === "") {
      throw RequestError.invalidParams({ command }, "command must be a non-empty string");
    }
    if (this.#terminals.size >= maxTerminals) {
      throw RequestError.invalidRequest(undefined, `${maxTerminals} terminals are open; release one first`);
    }
    const folder = await Deno.realPath(stringOf(cwd) ?? this.#cwd).catch(() => null);
    if (folder === null || (folder !== this.#cwd && !folder.startsWith(this.#cwd + sep))) {
      throw RequestError.invalidParams({ cwd }, `cwd "${cwd}" is outside the session's folder ${this.#cwd}`);
    }
    const extraEnv: Record<string, string> = {};
    for (const item of arrayOf(env)) {
      const { name, value } = objectOf(item);
      if (typeof name === "string" && typeof value === "string") extraEnv[name] = value;
    }
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(command, {
        args: arrayOf(args).map(String),
        cwd: folder,
        env: { ...this.#env, ...extraEnv },
        clearEnv: true,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        detached: Deno.build.os !== "windows",
      }).spawn();
    } catch (error) {
      throw RequestError.invalidParams({ command }, `"${command}" could not be started: ${String(error)}`);
    }
    const terminalId = crypto.randomUUID();
    const maxChars = Math.min(countOf(outputByteLimit) ?? maxTerminalChars, maxTerminalChars);
    const read = async (stream: ReadableStream<Uint8Array>) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
    };
    const add = (text: string) => {
      if (text === "") return;
      const whole = terminal.output + text;
      terminal.isTruncated ||= whole.length > maxChars;
      terminal.output = takeEnd(whole, maxChars);
      this.#onOutput(terminalId, text);
    };
    const terminal: Terminal = {
      child,
      output: "",
      isTruncated: false,
      exit: null,
      exited: Promise.all([child.status, read(child.stdout), read(child.stderr)]).then(([status]) =>
        terminal.exit = { exitCode: status.signal ? null : status.code, signal: status.signal }
      ),
    };
    this.#terminals.set(terminalId, terminal);
    return { terminalId };
  }

  #find(params: unknown): Terminal {
    const terminalId = stringOf(objectOf(params).terminalId) ?? "";
    const terminal = this.#terminals.get(terminalId);
    if (!terminal) throw RequestError.invalidParams({ terminalId }, `there is no terminal "${terminalId}"`);
    return terminal;
  }
}

function kill(terminal: Terminal): void {
  if (terminal.exit) return;
  try {
    if (Deno.build.os === "windows") terminal.child.kill("SIGKILL");
    else Deno.kill(-terminal.child.pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}
