/**
 * One terminal: a program on a pty, its screen, and everybody who looks at it. Bytes go to the emulator and to viewers alike; who
 * typed last owns the size. Runs in a process of its own (terminal_main.ts).
 */
import {
  type ScreenState,
  SizeState,
  type TerminalInfo,
  terminalLimits,
  TerminalSize,
  type TerminalStatus,
  terminalTypes,
} from "@/protocol/terminal.ts";
import {
  encodeJson,
  encodeMessage,
  MessageDecoder,
  readCount,
  readJson,
  type TerminalMessage,
  TerminalProtocolError,
} from "@/protocol/terminal_codec.ts";
import { Emulator } from "./emulator.ts";
import { type EndedFrame, LAST_LINES } from "./process_frames.ts";
import { pastedText } from "./pasted_text.ts";
import { Pty } from "./pty.ts";
import { type FedMessage, ViewerFeed } from "./viewer_feed.ts";

/** A viewer that keeps falling behind gets a screen this often, not more … */
const SKIP_INTERVAL_MS = 400;
/** … and so seldom that making screens, for which the program waits, takes a small part of the time: one in this many. */
const SKIP_SHARE = 8;
/** From text that is typed for somebody to the Enter after it. */
const ENTER_AFTER_MS = 60;
const LAST_CHARS = 16_000;
/** Output of one turn is merged into messages of this size at most. */
const MERGED_BYTES = terminalLimits.messageBytes;

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
  /** A person came, typed or resized. */
  onPerson(): void;
  /** The bell ("bell") or a notification. */
  onRaised(text: string): void;
  onEnded(end: EndedFrame): void;
}

/** How a terminal reaches one viewer. */
export interface ViewerPort {
  send(bytes: Uint8Array): void;
  /** The viewer broke the protocol; nothing more comes from or goes to it. */
  fail(message: string): void;
}

interface Viewer {
  id: number;
  canWrite: boolean;
  port: ViewerPort;
  feed: ViewerFeed;
  decoder: MessageDecoder;
  size: TerminalSize | null;
  skipTimer: ReturnType<typeof setTimeout> | undefined;
  lastScreenMs: number;
  /** How long making its last screen took, waiting for the emulator included. */
  screenCostMs: number;
}

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #emulator: Emulator;
  readonly #viewers = new Map<number, Viewer>();
  readonly #createdAt: number;
  #pty: Pty | null = null;
  #status: TerminalStatus = { state: "running" };
  #title = "";
  #attention: TerminalInfo["attention"] = null;
  #size: TerminalSize;
  /** The viewer that typed last. */
  #owner: number | null = null;
  /** Output of this turn that is not given on yet. */
  #merging: Uint8Array[] = [];
  #mergingBytes = 0;
  #isMerging = false;
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
      onBell: () => this.#raise("bell"),
      onNotification: (text) => this.#raise(text),
      onPressure: (isTooMuch) => isTooMuch ? this.#pause("emulator") : this.#resume("emulator"),
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
      viewerCount: this.#viewers.size,
      attention: this.#attention,
    };
  }

  /** Lets a viewer in; it is sent the screen, then what is live. */
  attach(id: number, canWrite: boolean, port: ViewerPort): void {
    const viewer: Viewer = {
      id,
      canWrite,
      port,
      feed: new ViewerFeed((bytes) => port.send(bytes), () => this.#skip(viewer)),
      decoder: new MessageDecoder(terminalLimits.messageBytes),
      size: null,
      skipTimer: undefined,
      lastScreenMs: -Infinity,
      screenCostMs: 0,
    };
    this.#viewers.set(id, viewer);
    this.#options.observer?.onPerson();
    this.#options.onChange();
    void this.#giveScreen(viewer, false);
  }

  /** The viewer is gone. */
  detach(id: number): void {
    const viewer = this.#viewers.get(id);
    if (viewer === undefined) return;
    clearTimeout(viewer.skipTimer);
    this.#viewers.delete(id);
    if (this.#owner === id) this.#owner = null;
    this.#options.onChange();
  }

  /** Bytes of a viewer. Resolves when the program can take more input. */
  async receive(id: number, bytes: Uint8Array): Promise<void> {
    const viewer = this.#viewers.get(id);
    if (viewer === undefined) return;
    try {
      for (const message of viewer.decoder.push(bytes)) this.#receive(viewer, message);
    } catch (error) {
      if (!(error instanceof TerminalProtocolError)) throw error;
      this.detach(id);
      viewer.port.fail(error.message);
      return;
    }
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
    for (const { skipTimer } of this.#viewers.values()) clearTimeout(skipTimer);
    this.#pty?.killNow();
    this.#emulator.dispose();
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  #receive(viewer: Viewer, message: TerminalMessage): void {
    switch (message.type) {
      case terminalTypes.input:
        if (!viewer.canWrite) throw new TerminalProtocolError("input: this viewer may only look");
        this.#own(viewer);
        this.#calm();
        this.#options.observer?.onPerson();
        this.#pty?.write(message.payload);
        return;
      case terminalTypes.resize: {
        viewer.size = readJson(TerminalSize, message);
        // Whoever can type first decides, until somebody types.
        if (this.#owner === null && viewer.canWrite) this.#own(viewer);
        else if (this.#owner === viewer.id) void this.#resizeTo(viewer.size);
        return;
      }
      case terminalTypes.credit:
        viewer.feed.credit(readCount(message));
        return;
      default:
        // A newer viewer's message: nothing here depends on it.
        return;
    }
  }

  #own(viewer: Viewer): void {
    if (this.#owner === viewer.id) return;
    this.#owner = viewer.id;
    if (viewer.size !== null) void this.#resizeTo(viewer.size);
    else this.#tellSize();
  }

  #onOutput(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#options.observer?.onOutput();
    if (!this.#isMerging) {
      this.#isMerging = true;
      setTimeout(() => {
        this.#isMerging = false;
        this.#giveOn();
      }, 0);
      this.#distribute(bytes);
      return;
    }
    if (this.#mergingBytes + bytes.length > MERGED_BYTES) this.#giveOn();
    this.#merging.push(bytes);
    this.#mergingBytes += bytes.length;
  }

  #giveOn(): void {
    if (this.#merging.length === 0) return;
    const whole = this.#merging.length === 1 ? this.#merging[0]! : concat(this.#merging, this.#mergingBytes);
    this.#merging = [];
    this.#mergingBytes = 0;
    this.#distribute(whole);
  }

  #distribute(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#emulator.write(bytes);
    for (const message of outputMessages(bytes)) this.#toViewers(message);
  }

  #toViewers(message: FedMessage): void {
    for (const viewer of this.#viewers.values()) {
      viewer.feed.push(message);
      if (viewer.feed.isReadyToSkip) this.#skip(viewer);
    }
  }

  #onExit({ code, signal }: { code: number; signal: number | null }): void {
    this.#giveOn();
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
    for (const viewer of this.#viewers.values()) void this.#giveScreen(viewer, false);
  }

  #setStatus(status: TerminalStatus): void {
    this.#status = status;
    this.#toViewers({ bytes: encodeJson(terminalTypes.status, status), outputBytes: 0 });
    this.#options.onChange();
  }

  /** Something asks for a person. */
  #raise(text: string): void {
    this.#attention = { text, at: this.#now() };
    this.#options.observer?.onRaised(text);
    this.#options.onChange();
  }

  /** Somebody typed: whatever asked for a person has one. */
  #calm(): void {
    if (this.#attention === null) return;
    this.#attention = null;
    this.#options.onChange();
  }

  async #resizeTo(size: TerminalSize): Promise<void> {
    this.#options.observer?.onPerson();
    // At once: what is typed next is for a program that knows the size. What it draws then is read after the emulator has it, too.
    this.#pty?.resize(size);
    await this.#whenSettled(() => {
      const { cols, rows } = this.#size;
      if (cols !== size.cols || rows !== size.rows) {
        this.#size = size;
        this.#emulator.resize(size);
        this.#options.onChange();
      }
      this.#tellSize();
    });
  }

  #tellSize(): void {
    for (const viewer of this.#viewers.values()) {
      const state: SizeState = { ...this.#size, isOwner: viewer.id === this.#owner };
      viewer.feed.push({ bytes: encodeJson(terminalTypes.size, state), outputBytes: 0 });
    }
  }

  /** The viewer has room again and missed something: it gets the screen, at a bounded rate. */
  #skip(viewer: Viewer): void {
    if (viewer.skipTimer !== undefined) return;
    const intervalMs = Math.max(SKIP_INTERVAL_MS, viewer.screenCostMs * SKIP_SHARE);
    const waitMs = Math.max(0, viewer.lastScreenMs + intervalMs - performance.now());
    viewer.skipTimer = setTimeout(() => {
      viewer.skipTimer = undefined;
      void this.#giveScreen(viewer, true);
    }, waitMs);
  }

  async #giveScreen(viewer: Viewer, isSkip: boolean): Promise<void> {
    const startMs = performance.now();
    await this.#whenSettled(() => {
      if (this.#viewers.get(viewer.id) !== viewer) return;
      viewer.lastScreenMs = performance.now();
      const state: ScreenState = {
        ...this.#size,
        isOwner: this.#owner === viewer.id,
        title: this.#title,
        status: this.#status,
        isSkip,
      };
      viewer.feed.restart([
        { bytes: encodeJson(terminalTypes.screen, state), outputBytes: 0 },
        ...outputMessages(this.#emulator.serialize()),
      ]);
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
          this.#giveOn();
          await this.#emulator.idle();
        } while (this.#mergingBytes > 0);
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

/** Output as messages of bounded size. */
function outputMessages(bytes: Uint8Array): FedMessage[] {
  const messages: FedMessage[] = [];
  for (let at = 0; at < bytes.length; at += terminalLimits.messageBytes) {
    const part = bytes.subarray(at, at + terminalLimits.messageBytes);
    messages.push({ bytes: encodeMessage(terminalTypes.output, part), outputBytes: part.length });
  }
  return messages;
}

function concat(parts: readonly Uint8Array[], byteLength: number): Uint8Array {
  const whole = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
