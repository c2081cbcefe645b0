/**
 * The terminal's own screen: a headless emulator that is fed every byte of the program, so that whoever attaches gets screen,
 * scrollback and modes. It also answers what programs ask of a terminal, once, however many viewers there are.
 */
import headless from "@xterm/headless";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { terminalLimits, type TerminalSize } from "@/protocol/terminal.ts";
import { screenBytes, type ScreenExtras } from "./screen_bytes.ts";
import { droppableBytes, isPlain } from "./plain_lines.ts";

/** Bytes given to the emulator that it has not parsed yet: few, so that it never blocks for long; enough to keep it busy. */
const SUBMITTED_BYTES = 256 * 1024;
/** Plain text beyond this waits: look whether some of it need not be parsed. */
const FLOOD_BYTES = 2 * 1024 * 1024;
/** Looking again needs this much more. */
const DROP_STEP_BYTES = 512 * 1024;
/** Plain text beyond this is not parsed while more keeps coming: most of it will scroll out, and nobody looks at it yet. */
const HELD_BYTES = 512 * 1024;
/** A flood is over when nothing came for this long. */
const CALM_MS = 15;
/** Control characters, and what makes text run backwards or hides it. */
// deno-lint-ignore no-control-regex -- these are what is removed
const UNSAFE_TEXT = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/** Answers to questions about colours: of the terminal that viewers see. */
const colors: Readonly<Record<number, string>> = { 10: "rgb:e6e6/eaea/e5e5", 11: "rgb:1010/1414/1212" };
/** Private modes that xterm does not tell. 25: cursor shown; the others: how the mouse is reported. */
const SHOW_CURSOR = 25;
const mouseEncodings: ReadonlySet<number> = new Set([1005, 1006, 1015, 1016]);

const noExtras: ScreenExtras = { margins: null, isCursorShown: true, cursorStyle: 0, mouseEncoding: null };

export interface EmulatorHandlers {
  /** The emulator answers a question of the program. */
  onReply(data: string): void;
  onTitle(title: string): void;
  onBell(): void;
  /** OSC 9 or 777. */
  onNotification(text: string): void;
  /** Too much waits for the emulator (true), or no longer. */
  onPressure(isTooMuch: boolean): void;
  /** What was written with one call (or the end of it) is of no use here any more: parsed, or left out. */
  onDone(bytes: Uint8Array): void;
}

export class Emulator {
  readonly #terminal: InstanceType<typeof headless.Terminal>;
  readonly #handlers: EmulatorHandlers;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #submittedBytes = 0;
  /** Bytes written and bytes parsed (or left out) since the start. */
  #writtenBytes = 0;
  #parsedBytes = 0;
  /** What was written after this position is plain text. */
  #plainFrom = 0;
  /** When this much waits, look whether some of it need not be parsed. */
  #dropAtBytes = FLOOD_BYTES;
  #isUnderPressure = false;
  /** While a flood is held back: looks whether it is over. */
  #calmTimer: ReturnType<typeof setInterval> | undefined;
  #hasJustWritten = false;
  #idle: (() => void)[] = [];
  #extras: ScreenExtras = { ...noExtras };

  constructor(size: TerminalSize, handlers: EmulatorHandlers) {
    this.#handlers = handlers;
    this.#terminal = new headless.Terminal({
      ...size,
      scrollback: terminalLimits.scrollbackLines,
      allowProposedApi: true,
    });
    // The add-on's type names the browser's terminal; it works with this one.
    new Unicode11Addon().activate(this.#terminal as unknown as Parameters<Unicode11Addon["activate"]>[0]);
    // The same widths as in the browser, or lines would differ.
    this.#terminal.unicode.activeVersion = "11";
    this.#terminal.onData((data) => handlers.onReply(data));
    this.#terminal.onBell(() => handlers.onBell());
    this.#terminal.onTitleChange((title) => handlers.onTitle(cleanText(title, terminalLimits.titleChars)));
    this.#watchModes();
    this.#watchNotices();
  }

  get size(): TerminalSize {
    return { cols: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** Feeds bytes, which must stay as they are until onDone. They are parsed soon, in order. */
  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#writtenBytes += bytes.length;
    if (!isPlain(bytes)) this.#plainFrom = this.#writtenBytes;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > this.#dropAtBytes) this.#dropScrolledOut();
    this.#hasJustWritten = true;
    this.#hold();
    this.#submit();
    this.#updatePressure();
  }

  /** Resolves when everything that was written is parsed. */
  idle(): Promise<void> {
    if (this.#queuedBytes + this.#submittedBytes === 0) return Promise.resolve();
    this.#release();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Only while idle: bytes that were written earlier are laid out for the earlier size. */
  resize({ cols, rows }: TerminalSize): void {
    this.#extras.margins = null;
    this.#terminal.resize(cols, rows);
  }

  /** Screen, scrollback and modes as bytes that rebuild them in an empty terminal of this size. Only while idle. */
  serialize(): Uint8Array {
    return screenBytes(this.#terminal, this.#extras);
  }

  /** Whether the program wants to know what is pasted. */
  get isBracketedPaste(): boolean {
    return this.#terminal.modes.bracketedPasteMode;
  }

  /** The last lines that are not blank, as text. Only while idle. */
  lastLines(count: number): string {
    const { active } = this.#terminal.buffer;
    const lines: string[] = [];
    for (let y = active.length - 1; y >= 0 && lines.length < count; y--) {
      const line = active.getLine(y)?.translateToString(true) ?? "";
      if (line !== "" || lines.length > 0) lines.unshift(line);
    }
    return lines.join("\n").trim();
  }

  /** Forgets everything: what a program left behind is nothing to the next one. Only while idle. */
  reset(): void {
    this.#terminal.reset();
    this.#forgetModes();
  }

  dispose(): void {
    clearInterval(this.#calmTimer);
    this.#terminal.dispose();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Begins to hold a flood of plain text back; ends it when something else comes. */
  #hold(): void {
    const isPlainFlood = this.#parsedBytes >= this.#plainFrom && this.#queuedBytes > HELD_BYTES;
    if (!isPlainFlood || this.#idle.length > 0) {
      if (this.#parsedBytes < this.#plainFrom) this.#release();
      return;
    }
    this.#calmTimer ??= setInterval(() => {
      if (!this.#hasJustWritten) this.#release();
      this.#hasJustWritten = false;
    }, CALM_MS);
  }

  #release(): void {
    if (this.#calmTimer === undefined) return;
    clearInterval(this.#calmTimer);
    this.#calmTimer = undefined;
    this.#submit();
  }

  #submit(): void {
    if (this.#calmTimer !== undefined) return;
    while (this.#submittedBytes < SUBMITTED_BYTES) {
      const bytes = this.#queue.shift();
      if (bytes === undefined) return;
      this.#queuedBytes -= bytes.length;
      this.#submittedBytes += bytes.length;
      this.#terminal.write(bytes, () => this.#parsed(bytes));
    }
  }

  #parsed(bytes: Uint8Array): void {
    this.#submittedBytes -= bytes.length;
    this.#parsedBytes += bytes.length;
    this.#handlers.onDone(bytes);
    if (this.#queuedBytes < FLOOD_BYTES / 2) this.#dropAtBytes = FLOOD_BYTES;
    this.#submit();
    this.#updatePressure();
    if (this.#queuedBytes + this.#submittedBytes > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #updatePressure(): void {
    const waiting = this.#queuedBytes + this.#submittedBytes;
    const isTooMuch = this.#isUnderPressure
      ? waiting > terminalLimits.emulatorBytes / 2
      : waiting > terminalLimits.emulatorBytes;
    if (isTooMuch === this.#isUnderPressure) return;
    this.#isUnderPressure = isTooMuch;
    this.#handlers.onPressure(isTooMuch);
  }

  /** Leaves out plain lines that would have scrolled out of the scrollback by the end of what waits. */
  #dropScrolledOut(): void {
    const { buffer, rows } = this.#terminal;
    // What is not plain may set margins, switch buffers, ring the bell: it must be parsed before anything after it goes.
    if (this.#parsedBytes < this.#plainFrom) return;
    if (this.#extras.margins !== null || buffer.active.type !== "normal") return;
    const dropped = droppableBytes(this.#queue, terminalLimits.scrollbackLines + 2 * rows);
    this.#queuedBytes -= dropped;
    this.#parsedBytes += dropped;
    // Long lines: nothing of them may go yet, and counting them again at every write would cost more than parsing.
    this.#dropAtBytes = Math.max(FLOOD_BYTES, this.#queuedBytes + DROP_STEP_BYTES);
    let rest = dropped;
    while (rest > 0) {
      const first = this.#queue[0]!;
      if (first.length > rest) {
        this.#queue[0] = first.subarray(rest);
        return;
      }
      this.#queue.shift();
      rest -= first.length;
      this.#handlers.onDone(first);
    }
  }

  #watchModes(): void {
    const { parser } = this.#terminal;
    const setModes = (params: (number | number[])[], isSet: boolean): false => {
      for (const mode of params) {
        if (mode === SHOW_CURSOR) this.#extras.isCursorShown = isSet;
        else if (typeof mode === "number" && mouseEncodings.has(mode)) this.#extras.mouseEncoding = isSet ? mode : null;
      }
      return false;
    };
    parser.registerCsiHandler({ prefix: "?", final: "h" }, (params) => setModes(params, true));
    parser.registerCsiHandler({ prefix: "?", final: "l" }, (params) => setModes(params, false));
    parser.registerCsiHandler({ intermediates: " ", final: "q" }, (params) => {
      this.#extras.cursorStyle = Number(params[0] ?? 0);
      return false;
    });
    parser.registerCsiHandler({ final: "r" }, (params) => {
      const { rows } = this.#terminal;
      const top = Number(params[0] || 1);
      const bottom = Math.min(Number(params[1] || rows), rows);
      if (top < bottom) this.#extras.margins = top === 1 && bottom === rows ? null : { top, bottom };
      return false;
    });
    // Soft reset, full reset.
    parser.registerCsiHandler({ intermediates: "!", final: "p" }, () => this.#forgetModes());
    parser.registerEscHandler({ final: "c" }, () => this.#forgetModes());
  }

  #forgetModes(): false {
    this.#extras = { ...noExtras };
    return false;
  }

  #watchNotices(): void {
    const { parser } = this.#terminal;
    const notify = (text: string): boolean => {
      const clean = cleanText(text, terminalLimits.notificationChars);
      if (clean !== "") this.#handlers.onNotification(clean);
      return true;
    };
    // OSC 9;4 reports progress (ConEmu, Windows Terminal); any other OSC 9 is a notification (iTerm2).
    parser.registerOscHandler(9, (data) => /^\d+;/.test(data) ? true : notify(data));
    parser.registerOscHandler(
      777,
      (data) => data.startsWith("notify;") ? notify(data.slice(7).replace(";", ": ")) : true,
    );
    for (const [code, color] of Object.entries(colors)) {
      parser.registerOscHandler(Number(code), (data) => {
        if (data === "?") this.#handlers.onReply(`\x1b]${code};${color}\x1b\\`);
        return true;
      });
    }
  }
}

/** Text of a program for people to read: one line, no control characters. */
export function cleanText(text: string, maxChars: number): string {
  return text.replaceAll(UNSAFE_TEXT, " ").trim().slice(0, maxChars).toWellFormed();
}
