/** The terminals of a runner: makes, lists, restarts and closes them, and leads viewers to them. */
import type { LinkStream, StreamAcceptors, StreamHeader } from "@/protocol/link/types.ts";
import {
  type NewTerminal,
  type TerminalInfo,
  terminalLimits,
  type TerminalOrder,
  type TerminalResult,
} from "@/protocol/terminal.ts";
import { PathError, resolveDirectory } from "../files.ts";
import { errorText, type Log } from "../log.ts";
import type { SelfCommand } from "../self_command.ts";
import { defaultSize } from "./process_frames.ts";
import { defaultShell, withoutSecrets } from "./shell.ts";
import { TerminalProcess } from "./terminal_process.ts";
import { infoThrough, leadViewer, restartThrough } from "./viewer_socket.ts";

/** The order cannot be carried out; the message is for the person who gave it. */
export class TerminalRefusal extends Error {
  constructor(readonly code: "not_found" | "conflict", message: string) {
    super(message);
  }
}

export interface TerminalManagerOptions {
  roots: readonly string[];
  env: Record<string, string>;
  /** What runs `perch __terminal`. */
  terminalCommand: SelfCommand;
  write: Log;
  /** Where the host of a session that is a terminal lets viewers in; null: there is no such session now. */
  sessionSocket?(sessionId: string): string | null;
  /** The sessions that are terminals now. */
  sessionIds?(): string[];
  /** A terminal was made, changed or is gone. */
  onChange?(): void;
}

export class TerminalManager {
  readonly #options: TerminalManagerOptions;
  readonly #terminals = new Map<string, TerminalProcess>();

  constructor(options: TerminalManagerOptions) {
    this.#options = options;
  }

  /** Takes the link's terminal streams. */
  serve(acceptors: StreamAcceptors): void {
    acceptors.accept("terminal", (stream, header) => this.attach(stream, header));
  }

  /** Serves a viewer. A terminal that is not there refuses it. */
  attach(stream: LinkStream, header: Extract<StreamHeader, { kind: "terminal" }>): void {
    const terminal = this.#terminals.get(header.terminalId);
    const socket = terminal === undefined ? this.#sessionSocket(header.terminalId) : null;
    if (socket !== null) void leadViewer(stream, header, socket);
    else if (terminal === undefined) {
      stream.reset("refused", `there is no terminal "${header.terminalId}" on this runner now`);
    } else terminal.attach(stream, header);
  }

  /** Carries out what was asked of the runner. Never rejects. */
  async request({ requestId, order }: { requestId: string; order: TerminalOrder }): Promise<TerminalResult> {
    try {
      return { type: "terminal_result", requestId, ok: true, terminals: await this.#carryOut(order) };
    } catch (error) {
      const code = error instanceof TerminalRefusal ? error.code : "conflict";
      if (!(error instanceof TerminalRefusal || error instanceof PathError)) {
        this.#options.write("warning", `terminal ${order.do}: ${errorText(error)}`);
      }
      return { type: "terminal_result", requestId, ok: false, code, error: errorText(error).slice(0, 2_000) };
    }
  }

  /** Those that are not sessions. */
  list(): TerminalInfo[] {
    return [...this.#terminals.values()].flatMap(({ info }) => info ?? []);
  }

  /** Throws TerminalRefusal when there are as many terminals as there may be, sessions in a terminal included. */
  checkRoom(): void {
    if (this.#terminals.size + this.#sessionIds().length < terminalLimits.terminals) return;
    throw new TerminalRefusal(
      "conflict",
      `this runner has ${terminalLimits.terminals} terminals already, sessions in a terminal included; close one first`,
    );
  }

  /** Ends every terminal. */
  async close(): Promise<void> {
    await Promise.all([...this.#terminals.values()].map((terminal) => terminal.close()));
  }

  /** As close, without waiting: the processes would end by themselves when this one is gone. */
  [Symbol.dispose](): void {
    for (const terminal of this.#terminals.values()) terminal.kill();
  }

  async #carryOut(order: TerminalOrder): Promise<TerminalInfo[]> {
    switch (order.do) {
      case "create":
        return [await this.#create(order.terminal)];
      case "list":
        return [...this.list(), ...await this.#listSessions()].slice(0, terminalLimits.terminals);
      case "restart":
        await this.#restart(order.terminalId);
        return [];
      case "close":
        if (this.#sessionSocket(order.terminalId) !== null) {
          throw new TerminalRefusal("conflict", "this terminal is a session; end the session instead");
        }
        await this.#require(order.terminalId).close();
        return [];
    }
  }

  #sessionIds(): string[] {
    return this.#options.sessionIds?.() ?? [];
  }

  /** The terminals of sessions; one that does not answer just now is left out. */
  async #listSessions(): Promise<TerminalInfo[]> {
    const asked = this.#sessionIds().map(async (sessionId) => {
      const socket = this.#sessionSocket(sessionId);
      return socket === null ? null : await infoThrough(socket).catch(() => null);
    });
    return (await Promise.all(asked)).filter((info) => info !== null);
  }

  #sessionSocket(sessionId: string): string | null {
    return this.#options.sessionSocket?.(sessionId) ?? null;
  }

  async #restart(terminalId: string): Promise<void> {
    const socket = this.#sessionSocket(terminalId);
    if (socket === null) this.#require(terminalId).restart();
    else {
      await restartThrough(socket).catch(() => {
        throw new TerminalRefusal("conflict", "the session's terminal is not there now; try again in a moment");
      });
    }
  }

  #require(terminalId: string): TerminalProcess {
    const terminal = this.#terminals.get(terminalId);
    if (terminal === undefined) {
      throw new TerminalRefusal("not_found", `there is no terminal "${terminalId}" on this runner now`);
    }
    return terminal;
  }

  async #create(asked: NewTerminal): Promise<TerminalInfo> {
    const { roots, env, terminalCommand, write } = this.#options;
    const cwd = await resolveDirectory(asked.cwd, roots);
    this.checkRoom();
    const terminalId = crypto.randomUUID();
    const terminal = new TerminalProcess({
      start: {
        terminalId,
        name: asked.name ?? "",
        cwd,
        command: asked.command ?? defaultShell(env),
        sessionId: asked.sessionId ?? null,
        isObserved: false,
        cols: asked.cols ?? defaultSize.cols,
        rows: asked.rows ?? defaultSize.rows,
      },
      command: terminalCommand,
      env: withoutSecrets(env),
      write,
      onInfo: () => this.#options.onChange?.(),
      onGone: () => {
        this.#terminals.delete(terminalId);
        this.#options.onChange?.();
      },
    });
    this.#terminals.set(terminalId, terminal);
    try {
      return await terminal.started;
    } catch (error) {
      await terminal.close();
      throw new TerminalRefusal("conflict", errorText(error));
    }
  }
}
