/** A viewer of a terminal over a real socket, with an emulator of its own that shows what a browser would. */
import { Unicode11Addon } from "@xterm/addon-unicode11";
import headless from "@xterm/headless";
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import {
  ScreenState,
  SizeState,
  type TerminalInfo,
  terminalLimits,
  TerminalStatus,
  terminalTypes,
} from "@/protocol/terminal.ts";
import { encodeCount, encodeJson, encodeMessage, MessageDecoder, readJson } from "@/protocol/terminal_codec.ts";
import type { HubClient } from "@/tests/support/hub.ts";
import { Changes, PATIENCE_MS } from "@/tests/support/patience.ts";
import { bearer, openSocket } from "@/tests/support/socket.ts";
import type { RunnerProcess } from "@/tests/support/runner.ts";

const NEWEST_LINES = 60;

export interface ClientOptions {
  cols?: number;
  rows?: number;
  /** Of another account than the hub's first person. */
  apiKey?: string;
  /** Do not send credit: a viewer that does not read. */
  isStuck?: boolean;
}

/** Makes a terminal on a runner. */
export async function makeTerminal(
  hub: HubClient,
  runner: RunnerProcess,
  terminal: { command?: string[]; cwd?: string; cols?: number; rows?: number } = {},
): Promise<TerminalInfo> {
  const { runnerId } = runner;
  return (await hub.api("POST", "/api/terminals", { runnerId, cwd: runner.work, ...terminal })).terminal;
}

export class TerminalClient implements AsyncDisposable {
  readonly emulator: InstanceType<typeof headless.Terminal>;
  readonly screens: ScreenState[] = [];
  size: SizeState | null = null;
  status: TerminalStatus | null = null;
  outputBytes = 0;
  /** Errors that the hub told. */
  readonly errors: { code: string; message: string }[] = [];
  closeCode: number | null = null;
  readonly #socket: WebSocket;
  readonly #changes = new Changes();
  readonly #decoder = new MessageDecoder(terminalLimits.messageBytes);
  readonly #options: ClientOptions;

  private constructor(hub: HubClient, runnerId: string, terminalId: string, options: ClientOptions) {
    this.#options = options;
    const { cols = 80, rows = 24 } = options;
    this.emulator = new headless.Terminal({ cols, rows, scrollback: 10_000, allowProposedApi: true });
    new Unicode11Addon().activate(this.emulator as unknown as Parameters<Unicode11Addon["activate"]>[0]);
    this.emulator.unicode.activeVersion = "11";
    const query = new URLSearchParams({ runnerId, terminalId, protocolVersion: String(PROTOCOL_VERSION) });
    this.#socket = openSocket(`ws://${hub.host}/ws/terminal?${query}`, bearer(options.apiKey ?? hub.apiKey));
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.resize(cols, rows);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onerror = () => {};
    this.#socket.onclose = ({ code }) => {
      this.closeCode = code;
      this.#changes.notify();
    };
  }

  /** Looks at a terminal; resolves when its screen is there. */
  static async open(
    hub: HubClient,
    runnerId: string,
    terminalId: string,
    options: ClientOptions = {},
  ): Promise<TerminalClient> {
    const client = new TerminalClient(hub, runnerId, terminalId, options);
    await client.until(() => client.screens.length > 0 || client.closeCode !== null, "the screen");
    if (client.closeCode === null) return client;
    throw new Error(`no screen: ${JSON.stringify(client.errors)}, closed with ${client.closeCode}`);
  }

  /** As open, where either may be: `closeCode` tells. */
  static async refusedOrOpen(
    hub: HubClient,
    runnerId: string,
    terminalId: string,
    timeoutMs = PATIENCE_MS,
  ): Promise<TerminalClient> {
    const client = new TerminalClient(hub, runnerId, terminalId, {});
    await client.until(() => client.screens.length > 0 || client.closeCode !== null, "a screen or an end", timeoutMs);
    return client;
  }

  /** As open, for a terminal that is refused: resolves when the socket is closed. */
  static async refused(
    hub: HubClient,
    runnerId: string,
    terminalId: string,
    options: ClientOptions = {},
  ): Promise<TerminalClient> {
    const client = new TerminalClient(hub, runnerId, terminalId, options);
    await client.until(() => client.closeCode !== null, "the refusal");
    return client;
  }

  type(text: string): void {
    this.send(encodeMessage(terminalTypes.input, new TextEncoder().encode(text)));
  }

  resize(cols: number, rows: number): void {
    this.send(encodeJson(terminalTypes.resize, { cols, rows }));
  }

  /** As a person who comes to look. */
  look(): void {
    this.send(encodeMessage(terminalTypes.looked, new Uint8Array(0)));
  }

  credit(bytes: number): void {
    this.send(encodeCount(terminalTypes.credit, bytes));
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  /** What is shown, scrollback included, without trailing blanks. */
  get text(): string {
    return this.#lines(0);
  }

  #lines(from: number): string {
    const { active } = this.emulator.buffer;
    const lines: string[] = [];
    for (let y = Math.max(0, from); y < active.length; y++) lines.push(active.getLine(y)!.translateToString(true));
    return lines.join("\n").trimEnd();
  }

  /** Waits until something holds; it is looked at again after whatever comes. */
  async until(condition: () => boolean, what: string, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.#changes.until(condition, what, timeoutMs).catch((error) => {
      const { errors, closeCode, text } = this;
      throw new Error(
        `${error.message}; errors ${JSON.stringify(errors)}, closed ${closeCode}, screen:\n${text.slice(-1_000)}`,
      );
    });
  }

  /** Waits until the text is among the newest lines. */
  async shows(text: string | RegExp): Promise<void> {
    const isShown = () => {
      const newest = this.#lines(this.emulator.buffer.active.length - NEWEST_LINES);
      return typeof text === "string" ? newest.includes(text) : text.test(newest);
    };
    await this.until(isShown, `"${text}" on the screen`);
  }

  #receive(data: unknown): void {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "ping") this.#socket.send('{"type":"pong"}');
      if (message.type === "error") this.errors.push(message);
      this.#changes.notify();
      return;
    }
    for (const message of this.#decoder.push(new Uint8Array(data as ArrayBuffer))) {
      if (message.type === terminalTypes.output) {
        this.outputBytes += message.payload.length;
        const { length } = message.payload;
        this.emulator.write(message.payload, () => {
          if (!this.#options.isStuck) this.credit(length);
          this.#changes.notify();
        });
      } else if (message.type === terminalTypes.screen) {
        const screen = readJson(ScreenState, message);
        this.screens.push(screen);
        this.status = screen.status;
        this.#setSize(screen, true);
      } else if (message.type === terminalTypes.size) this.#setSize(readJson(SizeState, message), false);
      else if (message.type === terminalTypes.status) this.status = readJson(TerminalStatus, message);
    }
    this.#changes.notify();
  }

  #setSize(size: SizeState, isReset: boolean): void {
    this.size = size;
    this.emulator.write("", () => {
      if (isReset) this.emulator.reset();
      this.emulator.resize(size.cols, size.rows);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#socket.onclose = null;
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close();
    this.emulator.dispose();
    return Promise.resolve();
  }
}
