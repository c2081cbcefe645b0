/** One terminal over the hub: its messages each way, kept alive like every other socket. */
import { ErrorMessage, GoingAway, Ping, Pong } from "@/protocol/shared.ts";
import {
  ScreenState,
  SizeState,
  terminalLimits,
  type TerminalSize,
  TerminalStatus,
  terminalTypes,
} from "@/protocol/terminal.ts";
import { encodeCount, encodeJson, encodeMessage, MessageDecoder, readJson } from "@/protocol/terminal_codec.ts";
import { hubSocketUrl, LiveSocket, probeHub, type SocketState } from "./live_socket.ts";

const schemas = { error: ErrorMessage, going_away: GoingAway, ping: Ping, pong: Pong } as const;

export interface TerminalConnectionOptions {
  runnerId: string;
  terminalId: string;
  /** What fits here; asked at every connection. */
  size(): TerminalSize;
  onScreen(screen: ScreenState): void;
  onOutput(bytes: Uint8Array): void;
  onSize(size: SizeState): void;
  onStatus(status: TerminalStatus): void;
  onState(state: SocketState): void;
  /** What the hub says is wrong. */
  onError(message: string): void;
}

export class TerminalConnection {
  readonly #options: TerminalConnectionOptions;
  readonly #socket: LiveSocket<typeof schemas>;
  #decoder = new MessageDecoder(terminalLimits.messageBytes);
  #shownBytes = 0;
  /** A person came to look, and the runner does not know yet. */
  #owesLook = false;

  constructor(options: TerminalConnectionOptions) {
    this.#options = options;
    const query = new URLSearchParams({ runnerId: options.runnerId, terminalId: options.terminalId });
    this.#socket = new LiveSocket({
      url: hubSocketUrl(`/ws/terminal?${query}`),
      schemas,
      onMessage: (message) => message.type === "error" && options.onError(message.message),
      onBytes: (bytes) => this.#receive(bytes),
      onOpen: () => {
        this.#decoder = new MessageDecoder(terminalLimits.messageBytes);
        this.#shownBytes = 0;
        this.resize(options.size());
        if (this.#owesLook) this.looked();
      },
      onState: options.onState,
      probe: probeHub,
    });
  }

  start(): void {
    this.#socket.start();
  }

  dispose(): void {
    this.#socket.dispose();
  }

  /** Sends input. False: there is no connection, nothing was sent. */
  type(bytes: Uint8Array): boolean {
    let isSent = true;
    for (let at = 0; at < bytes.length && isSent; at += terminalLimits.messageBytes) {
      const part = bytes.subarray(at, at + terminalLimits.messageBytes);
      isSent = this.#socket.sendBytes(encodeMessage(terminalTypes.input, part));
    }
    return isSent;
  }

  /** Says what fits here. */
  resize({ cols, rows }: TerminalSize): void {
    this.#socket.sendBytes(encodeJson(terminalTypes.resize, { cols, rows }));
  }

  /** A person came to look: told now, or once there is a connection. A connection that comes back by itself tells nothing. */
  looked(): void {
    this.#owesLook = !this.#socket.sendBytes(encodeMessage(terminalTypes.looked, new Uint8Array(0)));
  }

  /** Output was shown: more may come. */
  shown(byteLength: number): void {
    this.#shownBytes += byteLength;
    if (this.#shownBytes < terminalLimits.creditBytes) return;
    this.#socket.sendBytes(encodeCount(terminalTypes.credit, this.#shownBytes));
    this.#shownBytes = 0;
  }

  #receive(bytes: Uint8Array): void {
    const { onScreen, onOutput, onSize, onStatus } = this.#options;
    for (const message of this.#decoder.push(bytes)) {
      if (message.type === terminalTypes.output) onOutput(message.payload);
      else if (message.type === terminalTypes.screen) onScreen(readJson(ScreenState, message));
      else if (message.type === terminalTypes.size) onSize(readJson(SizeState, message));
      else if (message.type === terminalTypes.status) onStatus(readJson(TerminalStatus, message));
    }
  }
}
