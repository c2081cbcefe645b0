/**
 * What one viewer of a terminal is sent, and how much of it: at most a window of output beyond what it has shown. A viewer that
 * falls behind by more than a backlog is given the current screen in place of what it missed. Core without I/O.
 */
import { terminalLimits, terminalTypes } from "@/protocol/terminal.ts";

/** A message for viewers. One object may wait for several of them. */
export class FedMessage {
  readonly type: number;
  #payload: Uint8Array;
  #isKept: boolean;

  /** @param isKept whether the payload stays as it is; else its memory is used for something else soon. */
  constructor(type: number, payload: Uint8Array, { isKept }: { isKept: boolean }) {
    this.type = type;
    this.#payload = payload;
    this.#isKept = isKept;
  }

  get payload(): Uint8Array {
    return this.#payload;
  }

  /** Bytes that the viewer has to show. */
  get outputBytes(): number {
    return this.type === terminalTypes.output ? this.#payload.length : 0;
  }

  /** From now on the message has memory of its own: it has to wait. */
  keep(): void {
    if (this.#isKept) return;
    this.#isKept = true;
    this.#payload = this.#payload.slice();
  }
}

export class ViewerFeed {
  readonly #send: (message: FedMessage) => void;
  readonly #onReadyToSkip: () => void;
  /** The screen on its way; it is never cut short, so that a slow viewer sees whole screens. */
  #screen: FedMessage[] = [];
  #backlog: FedMessage[] = [];
  #backlogBytes = 0;
  /** Output sent and not yet shown. */
  #unshownBytes = 0;
  #isBehind = true;

  /**
   * @param send takes a message to the viewer; its payload is of no meaning afterwards.
   * @param onReadyToSkip the viewer is behind, and has shown what it was sent: `restart` with the screen as it is now.
   */
  constructor(send: (message: FedMessage) => void, onReadyToSkip: () => void) {
    this.#send = send;
    this.#onReadyToSkip = onReadyToSkip;
  }

  /** Bytes that wait here. */
  get waitingBytes(): number {
    return this.#backlogBytes + this.#screen.reduce((sum, { outputBytes }) => sum + outputBytes, 0);
  }

  /** Whether live output is being left out until a screen is given. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Begins anew with a screen: what waited is dropped, what follows is live. */
  restart(screen: FedMessage[]): void {
    this.#screen = screen;
    this.#backlog = [];
    this.#backlogBytes = 0;
    this.#isBehind = false;
    this.#flush();
  }

  /** A message in its place in the output. */
  push(message: FedMessage): void {
    if (this.#isBehind) return;
    this.#backlog.push(message);
    this.#backlogBytes += message.outputBytes;
    this.#flush();
    if (this.#backlogBytes <= terminalLimits.backlogBytes) {
      if (this.#backlog.length > 0) message.keep();
      return;
    }
    this.#backlog = [];
    this.#backlogBytes = 0;
    this.#isBehind = true;
  }

  /** The viewer has shown this much more. What it claims beyond what it was sent is of no use to it. */
  credit(bytes: number): void {
    this.#unshownBytes = Math.max(0, this.#unshownBytes - bytes);
    this.#flush();
    if (this.isReadyToSkip) this.#onReadyToSkip();
  }

  /** Behind, and with room for a screen. */
  get isReadyToSkip(): boolean {
    return this.#isBehind && this.#screen.length === 0 && this.#unshownBytes <= terminalLimits.windowBytes / 2;
  }

  #flush(): void {
    for (const queue of [this.#screen, this.#backlog]) {
      let sent = 0;
      for (const message of queue) {
        const { outputBytes } = message;
        if (outputBytes > 0 && this.#unshownBytes >= terminalLimits.windowBytes) break;
        this.#unshownBytes += outputBytes;
        if (queue === this.#backlog) this.#backlogBytes -= outputBytes;
        this.#send(message);
        sent++;
      }
      if (sent > 0) queue.splice(0, sent);
      if (queue.length > 0) return;
    }
  }
}

/** Output as messages of bounded size. */
export function outputMessages(bytes: Uint8Array, { isKept }: { isKept: boolean }): FedMessage[] {
  const messages: FedMessage[] = [];
  for (let at = 0; at < bytes.length; at += terminalLimits.messageBytes) {
    const part = bytes.subarray(at, at + terminalLimits.messageBytes);
    messages.push(new FedMessage(terminalTypes.output, part, { isKept }));
  }
  return messages;
}
