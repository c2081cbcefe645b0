/** A program on a pseudo-terminal: its bytes, its size, its end. */
import { Buffer } from "node:buffer";
import nodePty from "node-pty";
import { terminalLimits, type TerminalSize } from "@/protocol/terminal.ts";
import { freeMemory } from "./free_memory.ts";

export interface PtyOptions extends TerminalSize {
  /** Program and arguments. */
  command: readonly string[];
  cwd: string;
  env: Record<string, string>;
  /** The memory is freed after the call: copy what is kept. */
  onOutput(bytes: Uint8Array): void;
  /** After the last output. `signal`: its number when one ended the program. */
  onExit(end: { code: number; signal: number | null }): void;
}

/** What is used of node-pty's object. */
interface NodePty {
  readonly pid: number;
  onData(listener: (data: string | Uint8Array) => void): void;
  onExit(listener: (end: { exitCode: number; signal?: number }) => void): void;
  write(data: Uint8Array): void;
  resize(cols: number, rows: number): void;
  pause(): void;
  resume(): void;
  kill(): void;
  /** On Unix, the stream under it. */
  readonly _socket?: PtyStream;
}

interface PtyStream {
  /** Input that the program has not read. */
  readonly writableLength: number;
  readonly readableEnded: boolean;
  once(event: "drain" | "close", listener: () => void): void;
  destroy(error?: Error): unknown;
}

/** Time for the program to end after SIGHUP, before SIGKILL. */
const KILL_AFTER_MS = 2_000;

/** How soon a program that has not taken all its input is offered the rest, and how seldom when it still takes none. */
const OFFER_MS = 5;
const OFFER_MAX_MS = 50;

/** Most that is read before others have their turn. */
const TURN_BYTES = 1024 * 1024;

/** How often it is looked whether everything was read, once the program has ended … */
const DRAIN_CHECK_MS = 50;
/** … which it was when this many looks in a row found nothing new … */
const DRAIN_QUIET_CHECKS = 2;
/** … or when something that the program left behind goes on printing for this many. */
const DRAIN_MAX_CHECKS = 40;

export class Pty {
  readonly #pty: NodePty;
  #killTimer: ReturnType<typeof setTimeout> | undefined;
  #offerTimer: ReturnType<typeof setTimeout> | undefined;
  #isPaused = false;
  #hasExited = false;
  /** Counts up with everything that is read. */
  #reads = 0;
  /** Read since the event loop's last turn. */
  #turnBytes = 0;
  #turnTimer: ReturnType<typeof setTimeout> | undefined;
  #drainTimer: ReturnType<typeof setInterval> | undefined;

  /** Starts the program. Throws when it cannot be started. */
  constructor(options: PtyOptions) {
    const [program = "", ...args] = options.command;
    this.#pty = nodePty.spawn(program, args, {
      name: "xterm-256color",
      cols: options.cols,
      rows: options.rows,
      cwd: options.cwd,
      env: options.env,
      // Bytes, not text: characters that are split between two reads stay whole.
      encoding: null,
    });
    this.#pty.onData((data) => {
      this.#reads++;
      this.#countTurn(data.length);
      if (typeof data === "string") return options.onOutput(new TextEncoder().encode(data));
      // Not as node's Buffer, whose slices share its memory.
      options.onOutput(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      // Unless it lies in memory that others use, too.
      if (data.byteLength === data.buffer.byteLength) freeMemory(data);
    });
    this.#pty.onExit(({ exitCode, signal }) => {
      this.#hasExited = true;
      clearTimeout(this.#killTimer);
      clearTimeout(this.#offerTimer);
      clearInterval(this.#drainTimer);
      clearTimeout(this.#turnTimer);
      options.onExit({ code: exitCode, signal: signal || null });
    });
    this.#holdUntilRead();
  }

  get pid(): number {
    return this.#pty.pid;
  }

  /** Reading goes on for as long as something comes: everything else waits. So it ends for a turn when that was a lot. */
  #countTurn(byteLength: number): void {
    this.#turnBytes += byteLength;
    if (this.#turnTimer === undefined) {
      this.#turnTimer = setTimeout(() => {
        this.#turnTimer = undefined;
        const wasLong = this.#turnBytes >= TURN_BYTES;
        this.#turnBytes = 0;
        if (wasLong && !this.#isPaused && !this.#hasExited) this.#pty.resume();
      }, 0);
    }
    if (this.#turnBytes >= TURN_BYTES) this.#pty.pause();
  }

  /** Gives input to the program. */
  write(bytes: Uint8Array): void {
    if (this.#hasExited) return;
    this.#pty.write(Buffer.from(bytes));
    if (this.#offerTimer === undefined) this.#offerLater(OFFER_MS);
  }

  /**
   * When the pty is full (some 20 KB that the program has not read) Deno 2.9 tries again only once reading begins or something was
   * read: without that the rest of the input would wait for ever.
   */
  #offerLater(afterMs: number): void {
    const waiting = this.#waitingBytes;
    if (waiting === 0) return;
    this.#offerTimer = setTimeout(() => {
      this.#offerTimer = undefined;
      if (!this.#isPaused) {
        this.#pty.pause();
        this.#pty.resume();
      }
      this.#offerLater(this.#waitingBytes < waiting ? OFFER_MS : Math.min(afterMs * 2, OFFER_MAX_MS));
    }, afterMs);
  }

  get #waitingBytes(): number {
    return this.#hasExited ? 0 : this.#pty._socket?.writableLength ?? 0;
  }

  /** Resolves when little enough input waits for the program to read it (terminalLimits.inputBytes). */
  async writable(): Promise<void> {
    const socket = this.#pty._socket;
    if (socket === undefined) return;
    while (!this.#hasExited && socket.writableLength > terminalLimits.inputBytes) {
      await new Promise<void>((resolve) => {
        socket.once("drain", resolve);
        socket.once("close", resolve);
      });
    }
  }

  resize({ cols, rows }: TerminalSize): void {
    if (this.#hasExited) return;
    try {
      this.#pty.resize(cols, rows);
    } catch {
      // The program ended this instant.
    }
  }

  /** Stops reading. The program waits once its buffer in the kernel is full; its end is told when all of that was read. */
  pause(): void {
    this.#isPaused = true;
    if (!this.#hasExited) this.#pty.pause();
  }

  resume(): void {
    this.#isPaused = false;
    // Else it goes on with the next turn.
    if (!this.#hasExited && this.#turnBytes < TURN_BYTES) this.#pty.resume();
  }

  /** Hangs up, as a closed window does; kills what does not leave. onExit follows. */
  kill(): void {
    if (this.#hasExited || this.#killTimer !== undefined) return;
    this.#signal("SIGHUP");
    this.#signal("SIGCONT");
    this.#killTimer = setTimeout(() => this.#signal("SIGKILL"), KILL_AFTER_MS);
  }

  /** Ends the program now: for when nobody can wait. */
  killNow(): void {
    if (!this.#hasExited) this.#signal("SIGKILL");
  }

  /**
   * node-pty destroys the stream 200 ms after the program's end, whether it was read to its end or not (something that the program
   * left behind may keep the terminal open for ever). What a paused stream still holds would be lost: the last lines.
   */
  #holdUntilRead(): void {
    const stream = this.#pty._socket;
    if (stream === undefined) return;
    const { destroy } = stream;
    stream.destroy = (error) => {
      if (error !== undefined || stream.readableEnded) return destroy.call(stream, error);
      if (this.#drainTimer !== undefined || this.#hasExited) return stream;
      let lastReads = -1;
      let checks = 0;
      let quietChecks = 0;
      this.#drainTimer = setInterval(() => {
        if (this.#isPaused) return;
        quietChecks = this.#reads === lastReads ? quietChecks + 1 : 0;
        lastReads = this.#reads;
        if (quietChecks < DRAIN_QUIET_CHECKS && ++checks < DRAIN_MAX_CHECKS) return;
        clearInterval(this.#drainTimer);
        destroy.call(stream);
      }, DRAIN_CHECK_MS);
      return stream;
    };
  }

  #signal(signal: "SIGHUP" | "SIGCONT" | "SIGKILL"): void {
    if (Deno.build.os === "windows") {
      this.#pty.kill();
      return;
    }
    try {
      // The program leads a process group of its own.
      Deno.kill(-this.#pty.pid, signal);
    } catch {
      // It has ended already.
    }
  }
}
