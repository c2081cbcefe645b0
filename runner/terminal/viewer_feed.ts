/**
 * What one viewer of a terminal is sent, and how much of it: at most a window of output beyond what it has shown. A viewer that
 * falls behind by more than a backlog is given the current screen in place of what it missed. Core without I/O.
 */
import { terminalLimits } from "@/protocol/terminal.ts";

/** A message for the viewer, framed, and how many bytes of output it holds. */
export interface FedMessage {
  bytes: Uint8Array;
  outputBytes: number;
}

export class ViewerFeed {
  readonly #send: (bytes: Uint8Array) => void;
  readonly #onReadyToSkip: () => void;
  /** The screen on its way; it is never cut short, so that a slow viewer sees whole screens. */
  #screen: FedMessage[] = [];
  #backlog: FedMessage[] = [];
  #backlogBytes = 0;
  /** Output sent and not yet shown. */
  #unshownBytes = 0;
  #isBehind = true;

  /**
   * @param send takes a message to the viewer.
   * @param onReadyToSkip the viewer is behind, and has shown what it was sent: `restart` with the screen as it is now.
   */
  constructor(send: (bytes: Uint8Array) => void, onReadyToSkip: () => void) {
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
    if (this.#backlogBytes <= terminalLimits.backlogBytes) return;
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
      for (const { bytes, outputBytes } of queue) {
        if (outputBytes > 0 && this.#unshownBytes >= terminalLimits.windowBytes) break;
        this.#unshownBytes += outputBytes;
        if (queue === this.#backlog) this.#backlogBytes -= outputBytes;
        this.#send(bytes);
        sent++;
      }
      if (sent > 0) queue.splice(0, sent);
      if (queue.length > 0) return;
    }
  }
}
