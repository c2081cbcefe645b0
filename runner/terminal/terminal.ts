/**
 * One terminal: a program on a pty, its screen, and everybody who looks at it. Bytes go to the emulator and to viewers alike. Runs
 * in a process of its own (terminal_main.ts).
 */
import {
  type ScreenState,
  type TerminalInfo,
  type TerminalSize,
  type TerminalStatus,
  terminalTypes,
} from "@/protocol/terminal.ts";
import { Emulator } from "./emulator.ts";
import { ChunkPool, OutputBatch } from "./output_batch.ts";
import { pastedText } from "./pasted_text.ts";
import { type EndedFrame, LAST_LINES } from "./process_frames.ts";
import { Pty } from "./pty.ts";
import { type Viewer, type ViewerPort, Viewers } from "./viewers.ts";

/** From text that is typed for somebody to the Enter after it. */
const ENTER_AFTER_MS = 60;
const LAST_CHARS = 16_000;
/** What a program does so soon after a key is its answer to it. */
const ECHO_MS = 1_000;

export interface TerminalOptions extends TerminalSize {
  terminalId: string;
  name: string;
  cwd: string;
  command: readonly string[];
  env: Record<string, string>;
  sessionId: string | null;
  now?: () => number;
  /** What lists show of it changed. */
  onChange(): void;
  /** For a session that is this terminal. */
  observer?: TerminalObserver;
}

/** Hears what goes on in a terminal. */
export interface TerminalObserver {
  onOutput(): void;
  /** A person came to look, or typed. */
  onPerson(): void;
  /** The program draws its screen anew: what it prints now means nothing. */
  onResized(): void;
  /** The bell ("bell") or a notification. */
  onRaised(text: string): void;
  onEnded(end: EndedFrame): void;
}

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #pool = new ChunkPool();
  readonly #emulator: Emulator;
  readonly #viewers: Viewers;
  readonly #batch = new OutputBatch(this.#pool, (bytes) => this.#distribute(bytes));
  readonly #createdAt: number;
  #pty: Pty | null = null;
  #status: TerminalStatus = { state: "running" };
  #title = "";
  #attention: TerminalInfo["attention"] = null;
  #size: TerminalSize;
  /** The size that the screen gets next; null: none. */
  #wantedSize: TerminalSize | null = null;
  /** When somebody last typed. */
  #lastInputMs = -Infinity;
  /** Why the pty does not read now. */
  readonly #pauses = new Set<"emulator" | "screen">();
  /** Screens and sizes are made one after another. */
  #settling: Promise<void> = Promise.resolve();
  #isRestarting = false;
  #isClosed = false;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#createdAt = this.#now();
    this.#size = { cols: options.cols, rows: options.rows };
    this.#emulator = new Emulator(this.#size, {
      onReply: (data) => this.#pty?.write(new TextEncoder().encode(data)),
      onTitle: (title) => {
        this.#title = title;
        options.onChange();
      },
      onBell: () => this.#onBell(),
      onNotification: (text) => this.#raise(text),
      onPressure: (isTooMuch) => isTooMuch ? this.#pause("emulator") : this.#resume("emulator"),
      onDone: (bytes) => this.#pool.give(bytes),
    });
    this.#viewers = new Viewers({
      onInput: (bytes) => {
        this.#lastInputMs = performance.now();
        this.#calm();
        options.observer?.onPerson();
        this.#pty?.write(bytes);
      },
      onLooked: () => {
        this.#calm();
        options.observer?.onPerson();
      },
      onSize: (size) => void this.#resizeTo(size),
      onOwner: () => this.#viewers.giveSize(this.#size),
      onScreenWanted: (viewer) => void this.#giveScreen(viewer),
    });
  }

  /** Starts its program. Throws when it cannot be started. */
  start(): void {
    const { command, cwd, env } = this.#options;
    this.#pty = new Pty({
      ...this.#size,
      command,
      cwd,
      env,
      onOutput: (bytes) => this.#onOutput(bytes),
      onExit: (end) => this.#onExit(end),
    });
    this.#setStatus({ state: "running" });
  }

  get info(): TerminalInfo {
    const { terminalId, name, cwd, command, sessionId } = this.#options;
    return {
      ...this.#size,
      terminalId,
      name,
      title: this.#title,
      cwd,
      command: [...command],
      sessionId,
      status: this.#status,
      createdAt: this.#createdAt,
      viewerCount: this.#viewers.count,
      attention: this.#attention,
    };
  }

  /** Lets a viewer in; it is sent the screen, then what is live. */
  attach(id: number, canWrite: boolean, port: ViewerPort): void {
    this.#viewers.add(id, canWrite, port);
    this.#options.onChange();
  }

  /** The viewer is gone. */
  detach(id: number): void {
    if (this.#viewers.remove(id)) this.#options.onChange();
  }

  /** Bytes of a viewer. Resolves when the program can take more input. */
  async receive(id: number, bytes: Uint8Array): Promise<void> {
    if (!this.#viewers.receive(id, bytes)) return this.#options.onChange();
    await this.#pty?.writable();
  }

  /** Ends the program that runs and starts it anew; the screen begins empty, the id stays. */
  restart(): void {
    if (this.#status.state === "running") {
      this.#isRestarting = true;
      this.#pty?.kill();
    } else void this.#startAnew();
  }

  /** Types text as a person pastes it, then Enter. */
  enter(text: string): void {
    this.#calm();
    const pasted = pastedText(text, this.#emulator.isBracketedPaste);
    this.#pty?.write(new TextEncoder().encode(pasted));
    const pty = this.#pty;
    // Full-screen programs take what arrives in one read as one paste, Enter included.
    setTimeout(() => pty?.write(Uint8Array.of(0x0d)), ENTER_AFTER_MS);
  }

  /** Gives bytes to the program, as keys do. */
  keys(bytes: Uint8Array): void {
    this.#calm();
    this.#pty?.write(bytes);
  }

  /** Hangs up on the program; what does not leave is killed. */
  hangUp(): void {
    this.#pty?.kill();
  }

  /** Ends the program. Nothing is called any more. */
  close(): void {
    this.#isClosed = true;
    this.#viewers[Symbol.dispose]();
    this.#batch[Symbol.dispose]();
    this.#pty?.killNow();
    this.#emulator.dispose();
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** What was read; its memory is given back afterwards. */
  #onOutput(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#options.observer?.onOutput();
    this.#batch.add(bytes);
  }

  /** Viewers first: they copy what they keep, and the emulator gives the memory back when it has parsed it. */
  #distribute(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#viewers.output(bytes);
    this.#emulator.write(bytes);
  }

  #onExit({ code, signal }: { code: number; signal: number | null }): void {
    this.#batch.flush();
    this.#pty = null;
    if (this.#isClosed) return;
    if (this.#isRestarting) void this.#startAnew();
    else {
      this.#setStatus({ state: "exited", code, signal, at: this.#now() });
      void this.#tellEnd(code, signal);
    }
  }

  async #tellEnd(code: number, signal: number | null): Promise<void> {
    const { observer } = this.#options;
    if (observer === undefined) return;
    await this.#whenSettled(() => {
      observer.onEnded({ code, signal, lastLines: this.#emulator.lastLines(LAST_LINES).slice(-LAST_CHARS) });
    });
  }

  async #startAnew(): Promise<void> {
    this.#isRestarting = false;
    await this.#whenSettled(() => {
      this.#emulator.reset();
      this.#title = "";
      this.#attention = null;
      try {
        this.start();
      } catch (error) {
        const text = `\r\ncannot be started: ${error instanceof Error ? error.message : error}\r\n`;
        this.#emulator.write(new TextEncoder().encode(text));
        this.#setStatus({ state: "exited", code: 127, signal: null, at: this.#now() });
      }
    });
    this.#viewers.renew();
  }

  #setStatus(status: TerminalStatus): void {
    this.#status = status;
    this.#viewers.tell(terminalTypes.status, status);
    this.#options.onChange();
  }

  /** A bell right after a key is the answer to it, such as a completion that found nothing. */
  #onBell(): void {
    if (performance.now() - this.#lastInputMs >= ECHO_MS) this.#raise("bell");
  }

  /** Something asks for a person. */
  #raise(text: string): void {
    this.#attention = { text, at: this.#now() };
    this.#options.observer?.onRaised(text);
    this.#options.onChange();
  }

  /** Somebody is there: whatever asked for a person has one. */
  #calm(): void {
    if (this.#attention === null) return;
    this.#attention = null;
    this.#options.onChange();
  }

  /** Of sizes that come faster than screens can be laid out anew, the last one counts. */
  async #resizeTo(size: TerminalSize): Promise<void> {
    this.#options.observer?.onResized();
    // At once: what is typed next is for a program that knows the size. What it draws then is read after the emulator has it, too.
    this.#pty?.resize(size);
    const isQueued = this.#wantedSize !== null;
    this.#wantedSize = size;
    if (isQueued) return;
    await this.#whenSettled(() => {
      const { cols, rows } = this.#size;
      const wanted = this.#wantedSize!;
      this.#wantedSize = null;
      if (cols !== wanted.cols || rows !== wanted.rows) {
        this.#size = wanted;
        this.#emulator.resize(wanted);
        this.#options.onChange();
      }
      this.#viewers.giveSize(this.#size);
    });
  }

  async #giveScreen(viewer: Viewer): Promise<void> {
    const startMs = performance.now();
    await this.#whenSettled(() => {
      if (!this.#viewers.has(viewer)) return;
      viewer.lastScreenMs = performance.now();
      const state: ScreenState = {
        ...this.#viewers.sizeFor(viewer, this.#size),
        title: this.#title,
        status: this.#status,
        isSkip: viewer.isSkipping,
      };
      this.#viewers.giveScreen(viewer, state, this.#emulator.serialize());
      viewer.screenCostMs = performance.now() - startMs;
    });
  }

  /**
   * Does something to the screen when all output so far is on it; the program waits as long (some 10 ms). One at a time. What
   * was read from the pty and not given on goes to emulator and viewers first, so that all of them are at the same byte.
   */
  #whenSettled(work: () => void): Promise<void> {
    const done = this.#settling.then(async () => {
      this.#pause("screen");
      try {
        do {
          this.#batch.flush();
          await this.#emulator.idle();
        } while (!this.#batch.isEmpty);
        if (!this.#isClosed) work();
      } finally {
        this.#resume("screen");
      }
    });
    this.#settling = done.catch(() => {});
    return done;
  }

  #pause(why: "emulator" | "screen"): void {
    if (this.#pauses.size === 0) this.#pty?.pause();
    this.#pauses.add(why);
  }

  #resume(why: "emulator" | "screen"): void {
    if (this.#pauses.delete(why) && this.#pauses.size === 0) this.#pty?.resume();
  }
}
