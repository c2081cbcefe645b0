/**
 * Any command as an agent, through a terminal. People talk to it in the terminal itself; the timeline keeps what asked for them, the
 * prompts that were sent to it, its start and its end. The terminal lives and dies with the session's host.
 */
import { basename } from "node:path";
import type { Attachment, SessionEnd } from "@/protocol/mod.ts";
import type { TerminalInfo } from "@/protocol/terminal.ts";
import type { SelfCommand } from "../self_command.ts";
import { defaultSize, type EndedFrame, FRAME_BYTES } from "../terminal/process_frames.ts";
import { withoutSecrets } from "../terminal/shell.ts";
import { type ObservedEvent, TerminalProcess } from "../terminal/terminal_process.ts";
import { ViewerSocket } from "../terminal/viewer_socket.ts";
import { type Agent, type AgentContext, type AgentExit, AgentRefusal, AgentStartError, type TurnEnd } from "./agent.ts";
import { NoticeBudget } from "./notice_budget.ts";
import { PtyWatch, SILENCE_MS } from "./pty_watch.ts";
import { Timeline } from "./timeline.ts";

/** The first prompt waits until the program has drawn and then been quiet for this long … */
const READY_QUIET_MS = 800;
/** … or until this long after its start. */
const READY_MAX_MS = 10_000;
/** Titles that a program sets over and over (spinners) become part of the log this often at most. */
const TITLE_MS = 5_000;
/** Time for the program to leave after it was hung up on; it is killed before. */
const HANG_UP_MS = 3_500;
const CTRL_C = Uint8Array.of(0x03);
/** Room in a frame for what a paste adds. */
const PROMPT_BYTES = FRAME_BYTES - 64;

export interface PtyAgentOptions {
  /** What runs `perch __terminal`. */
  terminalCommand: SelfCommand;
  /** Where viewers are let in. */
  socketPath: string;
}

export class PtyAgent implements Agent {
  readonly #context: AgentContext;
  readonly #options: PtyAgentOptions;
  readonly #command: string[];
  readonly #timeline: Timeline;
  readonly #watch: PtyWatch;
  readonly #notices = new NoticeBudget((text, detail) => this.#timeline.notice("info", text, detail));
  readonly #exited = Promise.withResolvers<AgentExit>();
  readonly #programEnded = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #sessionId: string;
  #process: TerminalProcess | null = null;
  #socket: ViewerSocket | null = null;
  #readyTimer: ReturnType<typeof setTimeout> | undefined;
  #titleTimer: ReturnType<typeof setTimeout> | undefined;
  #title = "";
  #isStopping = false;
  #hasEnded = false;
  /** How the program ended. */
  #end: AgentExit | null = null;

  /** Throws AgentStartError when there is no command, or PERCH_TERMINAL_SILENCE_S is no number. */
  constructor(context: AgentContext, options: PtyAgentOptions) {
    const { command } = context.launch;
    if (command === undefined) {
      throw new AgentStartError('a session in a terminal needs a command, for example ["aider"]', "");
    }
    this.#context = context;
    this.#options = options;
    this.#command = command;
    this.#sessionId = context.env.PERCH_SESSION_ID ?? "session";
    this.#timeline = new Timeline(context.session);
    const silenceMs = silenceOf(context.env);
    this.#watch = new PtyWatch({
      silenceMs,
      onState: (state) => context.observe?.(state),
      onSilence: () => this.#notices.add(`Quiet for ${silenceMs / 1_000} s: it may wait for you`),
    });
  }

  get exited(): Promise<AgentExit> {
    return this.#exited.promise;
  }

  async start(): Promise<void> {
    const { cwd, env, session, log } = this.#context;
    const process = new TerminalProcess({
      start: {
        terminalId: this.#sessionId,
        name: "",
        cwd,
        command: this.#command,
        sessionId: this.#sessionId,
        ...defaultSize,
        isObserved: true,
      },
      command: this.#options.terminalCommand,
      env: withoutSecrets(env),
      write: log,
      onInfo: (info) => this.#onInfo(info),
      onObserved: (event) => this.#onObserved(event),
      onGone: () => this.#onGone(),
    });
    this.#process = process;
    session.patchMeta({
      title: commandTitle(this.#command),
      can: { steer: false, followUp: false, image: false, compact: false, newConversation: false, resume: true },
    });
    try {
      await process.started;
    } catch (error) {
      throw new AgentStartError(error instanceof Error ? error.message : String(error), "");
    }
    this.#timeline.notice("info", "Started in a terminal", shownCommand(this.#command));
    this.#socket = new ViewerSocket(this.#options.socketPath, {
      attach: (stream, header) => process.attach(stream, header),
      restart: () => this.#restart(process),
      get info() {
        return process.info;
      },
    });
    this.#readyTimer = setTimeout(() => this.#ready.resolve(), READY_MAX_MS);
  }

  async prompt({ text }: { text: string; attachments: Attachment[] }): Promise<TurnEnd> {
    await Promise.race([this.#ready.promise, this.#exited.promise]);
    const process = this.#process;
    if (process === null || this.#hasEnded) return { outcome: "failed", message: "the program has ended" };
    const byteLength = new TextEncoder().encode(text).length;
    if (byteLength > PROMPT_BYTES) {
      const message = `This text has ${byteLength} bytes; a terminal takes at most ${PROMPT_BYTES} at once`;
      this.#timeline.notice("error", message);
      return { outcome: "failed", message };
    }
    this.#watch.person();
    process.enter(text);
    return { outcome: "completed" };
  }

  steer(): Promise<void> {
    return Promise.reject(new AgentRefusal("a program in a terminal has no turns to steer"));
  }

  /** Ctrl-C. */
  cancel(): Promise<void> {
    this.#watch.person();
    this.#process?.keys(CTRL_C);
    return Promise.resolve();
  }

  answer(): Promise<void> {
    return Promise.reject(new AgentRefusal("a program in a terminal asks there: answer it in the terminal"));
  }

  configure(): Promise<void> {
    return Promise.reject(new AgentRefusal("a program in a terminal has no settings here: use the terminal"));
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    const process = this.#process;
    if (process === null) return this.#onGone();
    if (!this.#hasEnded) {
      process.hangUp();
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, HANG_UP_MS);
      await Promise.race([this.#programEnded.promise, late.promise]);
      clearTimeout(timer);
    }
    await process.close();
  }

  #restart(process: TerminalProcess): void {
    this.#watch.reset();
    this.#timeline.notice("info", "Restarted");
    process.restart();
  }

  #onInfo(info: TerminalInfo): void {
    this.#watch.viewers(info.viewerCount);
    if (this.#hasEnded || info.title === "" || info.title === this.#title) return;
    this.#title = info.title;
    if (this.#titleTimer !== undefined) return;
    this.#context.session.patchMeta({ title: info.title });
    this.#titleTimer = setTimeout(() => {
      this.#titleTimer = undefined;
      if (!this.#hasEnded) this.#context.session.patchMeta({ title: this.#title });
    }, TITLE_MS);
  }

  #onObserved(event: ObservedEvent): void {
    switch (event.kind) {
      case "output":
        clearTimeout(this.#readyTimer);
        this.#readyTimer = setTimeout(() => this.#ready.resolve(), READY_QUIET_MS);
        return this.#watch.output();
      case "person":
        return this.#watch.person();
      case "resized":
        return this.#watch.resized();
      case "raised":
        this.#notices.add(event.text === "bell" ? "It rang the bell" : event.text);
        return this.#watch.raised();
      case "ended":
        return this.#onEnded(event.end);
    }
  }

  #onEnded({ code, signal, lastLines }: EndedFrame): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#notices.flush();
    this.#programEnded.resolve();
    const how = signal === null ? `exited with code ${code}` : `was ended by signal ${signal}`;
    const isFailure = !this.#isStopping && (code !== 0 || signal !== null);
    this.#timeline.notice(isFailure ? "error" : "info", `The program ${how}`, lastLines);
    const end: Pick<SessionEnd, "reason" | "detail"> = {
      reason: isFailure ? "failed" : "closed",
      detail: `the program ${how}`,
    };
    this.#end = { code, signal: signal === null ? null : String(signal), stderrTail: "", end };
    // Told when the terminal's process is gone: by then viewers have what the program printed last.
    void this.#process?.close();
  }

  /** The terminal's process is gone; its program with it. */
  #onGone(): void {
    this.#hasEnded = true;
    this.#programEnded.resolve();
    this.#exit(this.#end ?? { code: null, signal: "the end of its terminal's process", stderrTail: "" });
  }

  #exit(exit: AgentExit): void {
    this.#socket?.[Symbol.dispose]();
    this.#socket = null;
    clearTimeout(this.#readyTimer);
    clearTimeout(this.#titleTimer);
    this.#watch.reset();
    this.#notices[Symbol.dispose]();
    this.#exited.resolve(exit);
  }
}

/** How long a silence must be, from PERCH_TERMINAL_SILENCE_S (seconds; 0: never). Throws AgentStartError. */
function silenceOf(env: Readonly<Record<string, string>>): number {
  const value = env.PERCH_TERMINAL_SILENCE_S?.trim();
  if (!value) return SILENCE_MS;
  const seconds = Number(value);
  if (Number.isFinite(seconds) && seconds >= 0 && seconds <= 86_400) return seconds * 1_000;
  throw new AgentStartError(
    `PERCH_TERMINAL_SILENCE_S must be a number of seconds from 0 (never) to 86400, not "${value}"`,
    "",
  );
}

/** The command for a title: its program without folders, and its arguments. */
export function commandTitle([program = "", ...args]: readonly string[]): string {
  return shownCommand([basename(program) || program, ...args]);
}

/** The command as one line, words with blanks in quotes. */
export function shownCommand(command: readonly string[]): string {
  return command.map((word) => /^[^\s'"\\]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}
