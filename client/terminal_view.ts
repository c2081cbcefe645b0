/** xterm.js on a page, joined to a terminal of a runner. Loaded only when a terminal is first opened. */
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { WebglAddon } from "@xterm/addon-webgl";
import { signal } from "@preact/signals";
import { type ITheme, Terminal } from "@xterm/xterm";
import { asset } from "fresh/runtime";
import { type SizeState, terminalLimits, type TerminalSize, type TerminalStatus } from "@/protocol/terminal.ts";
import type { SocketState } from "./live_socket.ts";
import { TerminalConnection } from "./terminal_connection.ts";
import { allowStyles } from "./terminal_document.ts";
import { arrowBytes, type ArrowKey, modified } from "./terminal_keys.ts";
import { scrollByTouch } from "./terminal_touch.ts";

const FONT_PX = { fine: 13, coarse: 12 };
/** While a window is being resized, its terminal's program is told this often at most. */
const RESIZE_MS = 100;
/** The smallest text into which somebody else's wider terminal is fitted; beyond it one scrolls. */
const MIN_FONT_PX = 7;
/** localStorage: "allow" lets programs write to this browser's clipboard. */
const CLIPBOARD_KEY = "perch:terminal-clipboard";
const STYLES = ["/xterm.css", "/terminal.css"];

const theme: ITheme = {
  background: "#101412",
  foreground: "#e6eae5",
  cursor: "#6cc49c",
  cursorAccent: "#101412",
  selectionBackground: "#2f5a48",
  black: "#1d2420",
  red: "#f58e85",
  green: "#7fd0a0",
  yellow: "#e3c078",
  blue: "#86b6ee",
  magenta: "#dd9fd0",
  cyan: "#7fcfd0",
  white: "#d3dad4",
  brightBlack: "#76827a",
  brightRed: "#ffb0a8",
  brightGreen: "#a5e6bd",
  brightYellow: "#f5d99c",
  brightBlue: "#aed0fb",
  brightMagenta: "#f1c1e7",
  brightCyan: "#a8e8e8",
  brightWhite: "#ffffff",
};

export interface TerminalViewOptions {
  runnerId: string;
  terminalId: string;
  /** Says something to the person: what could not be done, or what is asked. */
  onNotice(text: string): void;
}

/** Loads the styles that terminals need. Resolves when they apply. */
export async function loadTerminalStyles(): Promise<void> {
  await Promise.all(STYLES.map((path) => {
    const href = asset(path);
    if (document.querySelector(`link[href="${CSS.escape(href)}"], link[href="${href}"]`)) return;
    return new Promise<void>((resolve, reject) => {
      const link = document.createElement("link");
      link.rel = "stylesheet";
      link.href = href;
      link.onload = () => resolve();
      link.onerror = () => reject(new Error(`${path} could not be loaded`));
      document.head.append(link);
    });
  }));
}

export function isClipboardAllowed(): boolean {
  return localStorage.getItem(CLIPBOARD_KEY) === "allow";
}

export function allowClipboard(isAllowed: boolean): void {
  if (isAllowed) localStorage.setItem(CLIPBOARD_KEY, "allow");
  else localStorage.removeItem(CLIPBOARD_KEY);
}

export class TerminalView {
  readonly connection = signal<SocketState>({ kind: "connecting" });
  readonly status = signal<TerminalStatus>({ state: "running" });
  readonly title = signal("");
  /** Size of the terminal, and whether it follows this page. */
  readonly size = signal<SizeState | null>(null);
  readonly error = signal<string | null>(null);
  /** Counts up at every bell. */
  readonly bells = signal(0);
  readonly hasSelection = signal(false);
  /** Keys of the key bar that hold for the next key. */
  readonly ctrl = signal(false);
  readonly alt = signal(false);
  readonly terminal: Terminal;
  readonly #options: TerminalViewOptions;
  readonly #connection: TerminalConnection;
  readonly #fit = new FitAddon();
  readonly #search = new SearchAddon();
  readonly #observer: ResizeObserver;
  readonly #fontPx = matchMedia("(pointer: coarse)").matches ? FONT_PX.coarse : FONT_PX.fine;
  readonly #listeners = new AbortController();
  #element: HTMLElement | null = null;
  #told: TerminalSize | null = null;
  #resizeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TerminalViewOptions) {
    this.#options = options;
    allowStyles();
    this.terminal = new Terminal({
      allowProposedApi: true,
      scrollback: terminalLimits.scrollbackLines,
      fontSize: this.#fontPx,
      fontFamily:
        'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      theme,
      cursorBlink: false,
      macOptionIsMeta: true,
      linkHandler: { activate: (_event, url) => openLink(url) },
    });
    for (const addon of [this.#fit, this.#search, new Unicode11Addon()]) this.terminal.loadAddon(addon);
    this.terminal.loadAddon(new WebLinksAddon((_event, url) => openLink(url)));
    this.terminal.unicode.activeVersion = "11";
    this.#connection = new TerminalConnection({
      ...options,
      size: () => this.#fitting() ?? { cols: this.terminal.cols, rows: this.terminal.rows },
      onScreen: (screen) => {
        this.error.value = null;
        this.status.value = screen.status;
        this.title.value = screen.title;
        // After what is being parsed, before what follows.
        this.terminal.write("", () => {
          this.terminal.reset();
          this.#setSize(screen);
        });
      },
      onOutput: (bytes) => this.terminal.write(bytes, () => this.#connection.shown(bytes.length)),
      onSize: (size) => this.terminal.write("", () => this.#setSize(size)),
      onStatus: (status) => this.status.value = status,
      onState: (state) => this.connection.value = state,
      onError: (message) => this.error.value = message,
    });
    this.#observer = new ResizeObserver(() => this.#onResized());
    this.#listen();
    this.#silence();
  }

  /** Shows the terminal in an element, and connects. */
  open(element: HTMLElement): void {
    this.#element = element;
    this.terminal.open(element);
    this.#useWebgl();
    const { signal } = this.#listeners;
    element.addEventListener("paste", (event) => this.#checkPaste(event), { capture: true, signal });
    scrollByTouch(this.terminal, element, signal);
    this.#observer.observe(element);
    const look = () => document.visibilityState === "visible" && this.#connection.looked();
    document.addEventListener("visibilitychange", look, { signal });
    globalThis.addEventListener("focus", look, { signal });
    this.#connection.start();
    look();
    this.terminal.focus();
  }

  dispose(): void {
    this.#listeners.abort();
    this.#observer.disconnect();
    clearTimeout(this.#resizeTimer);
    this.#connection.dispose();
    this.terminal.dispose();
  }

  focus(): void {
    this.terminal.focus();
  }

  /** A key of the key bar. */
  press(key: "escape" | "tab" | "shift-tab"): void {
    this.#type({ escape: "\x1b", tab: "\t", "shift-tab": "\x1b[Z" }[key]);
    this.#disarm();
  }

  arrow(key: ArrowKey): void {
    const modifiers = { ctrl: this.ctrl.peek(), alt: this.alt.peek() };
    this.#type(arrowBytes(key, this.terminal.modes.applicationCursorKeysMode, modifiers));
    this.#disarm();
  }

  /** Pastes text, bracketed when the program asks for it. */
  paste(text: string): void {
    if (this.#isPasteable(text)) this.terminal.paste(text);
  }

  async copy(): Promise<void> {
    const text = this.terminal.getSelection();
    if (text === "") return;
    try {
      await navigator.clipboard.writeText(text);
      this.terminal.clearSelection();
    } catch {
      this.#options.onNotice("The browser does not let this page copy; use its own menu.");
    }
  }

  find(text: string, direction: "next" | "previous"): boolean {
    const options = { decorations: { matchOverviewRuler: "#6cc49c", activeMatchColorOverviewRuler: "#f5a06a" } };
    return direction === "next" ? this.#search.findNext(text, options) : this.#search.findPrevious(text, options);
  }

  endFind(): void {
    this.#search.clearDecorations();
    this.terminal.focus();
  }

  #listen(): void {
    const { terminal } = this;
    terminal.onData((data) => {
      const modifiers = { ctrl: this.ctrl.peek(), alt: this.alt.peek() };
      const isArmed = modifiers.ctrl || modifiers.alt;
      // That this page has the focus is of no interest to a terminal that somebody else types in.
      if (!this.size.peek()?.isOwner && (data === "\x1b[I" || data === "\x1b[O")) return;
      this.#type(isArmed ? modified(data, modifiers) : data);
      if (isArmed) this.#disarm();
    });
    // Mouse reports of old programs: each character is a byte.
    terminal.onBinary((data) => this.#connection.type(Uint8Array.from(data, (character) => character.charCodeAt(0))));
    terminal.onBell(() => this.bells.value++);
    terminal.onTitleChange((title) => this.title.value = cleanTitle(title));
    terminal.onSelectionChange(() => this.hasSelection.value = terminal.hasSelection());
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey || event.code !== "KeyC") return true;
      event.preventDefault();
      void this.copy();
      return false;
    });
  }

  /** The runner's emulator answers what programs ask of a terminal; a second answer would be taken for typing. */
  #silence(): void {
    const { parser } = this.terminal;
    const questions = [
      { final: "c" },
      { prefix: ">", final: "c" },
      { prefix: "=", final: "c" },
      { final: "n" },
      { prefix: "?", final: "n" },
      { intermediates: "$", final: "p" },
      { prefix: "?", intermediates: "$", final: "p" },
      { prefix: ">", final: "q" },
    ];
    for (const question of questions) parser.registerCsiHandler(question, () => true);
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true);
    for (const code of [4, 10, 11, 12]) parser.registerOscHandler(code, (data) => data.includes("?"));
    parser.registerOscHandler(52, (data) => this.#onClipboard(data));
  }

  /** OSC 52: a program writes to the clipboard. It never reads it. */
  #onClipboard(data: string): boolean {
    const encoded = data.slice(data.indexOf(";") + 1);
    if (encoded === "?" || encoded.length > terminalLimits.clipboardBytes * 4 / 3) return true;
    if (!isClipboardAllowed()) {
      this.#options.onNotice("A program wanted to write to the clipboard. The terminal's menu can allow it.");
      return true;
    }
    try {
      const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
      navigator.clipboard.writeText(new TextDecoder().decode(bytes)).catch(() => {
        this.#options.onNotice("The browser does not let this page write to the clipboard now.");
      });
    } catch {
      // Not base64: nothing to copy.
    }
    return true;
  }

  #type(data: string): void {
    if (this.status.peek().state === "exited") return;
    if (!this.#connection.type(new TextEncoder().encode(data))) {
      this.#options.onNotice("Not connected: what you typed was not sent.");
    }
  }

  #disarm(): void {
    this.ctrl.value = false;
    this.alt.value = false;
  }

  #checkPaste(event: ClipboardEvent): void {
    if (this.#isPasteable(event.clipboardData?.getData("text/plain") ?? "")) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #isPasteable(text: string): boolean {
    if (text.length <= terminalLimits.inputBytes) return true;
    this.#options.onNotice(
      `That is ${
        Math.ceil(text.length / 2 ** 20)
      } MB; a terminal takes at most 1 MB at once. Send it as a file instead.`,
    );
    return false;
  }

  #useWebgl(): void {
    try {
      const webgl = new WebglAddon();
      let isGone = false;
      // The DOM shows the same, more slowly.
      const giveUp = () => {
        if (isGone) return;
        isGone = true;
        rendered.dispose();
        webgl.dispose();
      };
      // The context may be taken away at any time.
      webgl.onContextLoss(giveUp);
      this.terminal.loadAddon(webgl);
      const rendered = this.terminal.onRender(() => {
        if (!this.#isDrawnTrue()) queueMicrotask(giveUp);
      });
    } catch {
      // No WebGL here.
    }
  }

  /**
   * Whether the canvas has as many pixels as the screen gives it. Where a browser tells the renderer other device pixels than it
   * has (some do while they emulate a phone), it draws nothing that can be seen.
   */
  #isDrawnTrue(): boolean {
    const canvas = this.terminal.element?.querySelector<HTMLCanvasElement>(
      ".xterm-screen canvas:not(.xterm-link-layer)",
    );
    const cssPx = Number.parseFloat(canvas?.style.width ?? "");
    if (!canvas || !(cssPx > 0)) return true;
    return Math.abs(canvas.width / (cssPx * devicePixelRatio) - 1) < 0.1;
  }

  /** What fits into the element at the normal text size; null while it is not shown. */
  #fitting(): TerminalSize | null {
    const element = this.#element;
    if (element === null || element.clientWidth === 0 || element.clientHeight === 0) return null;
    const proposed = this.#fit.proposeDimensions();
    if (proposed === undefined || !Number.isFinite(proposed.cols) || !Number.isFinite(proposed.rows)) return null;
    // Proposed for the present text size, which may be smaller than normal.
    const scale = (this.terminal.options.fontSize ?? this.#fontPx) / this.#fontPx;
    return {
      cols: Math.min(terminalLimits.cols, Math.max(2, Math.floor(proposed.cols * scale))),
      rows: Math.min(terminalLimits.rows, Math.max(1, Math.floor(proposed.rows * scale))),
    };
  }

  #onResized(): void {
    const fitting = this.#fitting();
    if (fitting === null) return;
    const isNew = this.#told?.cols !== fitting.cols || this.#told.rows !== fitting.rows;
    if (isNew && this.#resizeTimer === undefined) {
      this.#told = fitting;
      this.#connection.resize(fitting);
      this.#resizeTimer = setTimeout(() => {
        this.#resizeTimer = undefined;
        this.#onResized();
      }, RESIZE_MS);
    }
    this.#fitText();
  }

  /** The terminal has this size from here on. */
  #setSize(size: SizeState): void {
    if (this.terminal.cols !== size.cols || this.terminal.rows !== size.rows) {
      this.terminal.resize(size.cols, size.rows);
    }
    this.size.value = size;
    this.#fitText();
  }

  /** Makes a terminal that follows another page fit by smaller text, as far as it stays readable. */
  #fitText(): void {
    const size = this.size.peek();
    const fitting = this.#fitting();
    if (size === null || fitting === null) return;
    const share = Math.min(1, fitting.cols / size.cols, fitting.rows / size.rows);
    const wanted = size.isOwner ? this.#fontPx : Math.max(MIN_FONT_PX, Math.floor(this.#fontPx * share * 2) / 2);
    if (this.terminal.options.fontSize !== wanted) this.terminal.options.fontSize = wanted;
  }
}

/** Opens a link that a program printed, after a person has seen where it leads. */
function openLink(text: string): void {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return;
  if (confirm(`Open this link from the terminal?\n\n${url.href}`)) {
    globalThis.open(url.href, "_blank", "noopener,noreferrer");
  }
}

function cleanTitle(title: string): string {
  return title.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ").trim().slice(0, terminalLimits.titleChars);
}
