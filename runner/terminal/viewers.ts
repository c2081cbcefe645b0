/** Everybody who looks at one terminal: what they are sent, and which of them decides its size (who typed last). */
import { SizeState, terminalLimits, TerminalSize, terminalTypes } from "@/protocol/terminal.ts";
import {
  MessageDecoder,
  readCount,
  readJson,
  type TerminalMessage,
  TerminalProtocolError,
} from "@/protocol/terminal_codec.ts";
import { FedMessage, outputMessages, ViewerFeed } from "./viewer_feed.ts";

/** A viewer that keeps falling behind gets a screen this often, not more … */
const SKIP_INTERVAL_MS = 400;
/** … and so seldom that making screens, for which the program waits, takes a small part of the time: one in this many. */
const SKIP_SHARE = 8;

/** How a terminal reaches one viewer. */
export interface ViewerPort {
  /** The payload is of no meaning after the call. */
  send(type: number, payload: Uint8Array): void;
  /** The viewer broke the protocol; nothing more comes from or goes to it. */
  fail(message: string): void;
}

/** What viewers want of their terminal. */
export interface ViewerWishes {
  /** Somebody typed. */
  onInput(bytes: Uint8Array): void;
  /** Somebody came to look. */
  onLooked(): void;
  /** The terminal is to have this size from here on; `giveSize` follows. */
  onSize(size: TerminalSize): void;
  /** The size stays, and another viewer decides it: `giveSize` follows. */
  onOwner(): void;
  /** This viewer is to be given a screen now (`giveScreen`). */
  onScreenWanted(viewer: Viewer): void;
}

/** One viewer. */
export interface Viewer {
  readonly id: number;
  readonly canWrite: boolean;
  readonly port: ViewerPort;
  readonly feed: ViewerFeed;
  readonly decoder: MessageDecoder;
  /** What fits there. */
  size: TerminalSize | null;
  skipTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the screen that comes next stands for output that was left out. */
  isSkipping: boolean;
  lastScreenMs: number;
  /** How long making its last screen took, waiting for the emulator included. */
  screenCostMs: number;
}

export class Viewers implements Disposable {
  readonly #wishes: ViewerWishes;
  readonly #viewers = new Map<number, Viewer>();
  /** The viewer that typed last. */
  #owner: number | null = null;

  constructor(wishes: ViewerWishes) {
    this.#wishes = wishes;
  }

  get count(): number {
    return this.#viewers.size;
  }

  /** Lets a viewer in, and has it given the screen. */
  add(id: number, canWrite: boolean, port: ViewerPort): void {
    const viewer: Viewer = {
      id,
      canWrite,
      port,
      feed: new ViewerFeed(({ type, payload }) => port.send(type, payload), () => this.#skip(viewer)),
      decoder: new MessageDecoder(terminalLimits.messageBytes),
      size: null,
      skipTimer: undefined,
      isSkipping: false,
      lastScreenMs: -Infinity,
      screenCostMs: 0,
    };
    this.#viewers.set(id, viewer);
    this.#wishes.onScreenWanted(viewer);
  }

  /** False: there is no such viewer. */
  remove(id: number): boolean {
    const viewer = this.#viewers.get(id);
    if (viewer === undefined) return false;
    clearTimeout(viewer.skipTimer);
    this.#viewers.delete(id);
    if (this.#owner === id) this.#owner = null;
    return true;
  }

  has(viewer: Viewer): boolean {
    return this.#viewers.get(viewer.id) === viewer;
  }

  /** Bytes of a viewer. One that breaks the protocol is removed and told: then false. */
  receive(id: number, bytes: Uint8Array): boolean {
    const viewer = this.#viewers.get(id);
    if (viewer === undefined) return true;
    try {
      for (const message of viewer.decoder.push(bytes)) this.#receive(viewer, message);
      return true;
    } catch (error) {
      if (!(error instanceof TerminalProtocolError)) throw error;
      this.remove(id);
      viewer.port.fail(error.message);
      return false;
    }
  }

  /** Output for everybody who is not behind. Its memory may be used for something else afterwards. */
  output(bytes: Uint8Array): void {
    const isWanted = this.#viewers.values().some(({ feed }) => !feed.isBehind);
    if (isWanted) { for (const message of outputMessages(bytes, { isKept: false })) this.#push(message); }
    for (const viewer of this.#viewers.values()) if (viewer.feed.isReadyToSkip) this.#skip(viewer);
  }

  /** A message for everybody, in its place in the output. */
  tell(type: number, value: unknown): void {
    this.#push(jsonMessage(type, value));
  }

  /** The size as each of them sees it. */
  giveSize(size: TerminalSize): void {
    for (const viewer of this.#viewers.values()) {
      viewer.feed.push(jsonMessage(terminalTypes.size, this.sizeFor(viewer, size)));
    }
  }

  sizeFor(viewer: Viewer, size: TerminalSize): SizeState {
    return { ...size, isOwner: viewer.id === this.#owner };
  }

  /** A screen for one viewer: what waits for it is dropped, what follows is live. */
  giveScreen(viewer: Viewer, state: unknown, screen: Uint8Array): void {
    viewer.isSkipping = false;
    viewer.feed.restart([jsonMessage(terminalTypes.screen, state), ...outputMessages(screen, { isKept: true })]);
  }

  /** Everybody is to be given the screen. */
  renew(): void {
    for (const viewer of this.#viewers.values()) this.#wishes.onScreenWanted(viewer);
  }

  [Symbol.dispose](): void {
    for (const { skipTimer } of this.#viewers.values()) clearTimeout(skipTimer);
    this.#viewers.clear();
  }

  #push(message: FedMessage): void {
    for (const { feed } of this.#viewers.values()) feed.push(message);
  }

  #receive(viewer: Viewer, message: TerminalMessage): void {
    switch (message.type) {
      case terminalTypes.input:
        if (!viewer.canWrite) throw new TerminalProtocolError("input: this viewer may only look");
        this.#own(viewer);
        return this.#wishes.onInput(message.payload);
      case terminalTypes.resize: {
        viewer.size = readJson(TerminalSize, message);
        // Whoever can type first decides, until somebody types.
        if (this.#owner === null && viewer.canWrite) this.#own(viewer);
        else if (this.#owner === viewer.id) this.#wishes.onSize(viewer.size);
        return;
      }
      case terminalTypes.credit:
        viewer.feed.credit(readCount(message));
        return;
      case terminalTypes.looked:
        return this.#wishes.onLooked();
      default:
        // A newer viewer's message: nothing here depends on it.
        return;
    }
  }

  #own(viewer: Viewer): void {
    if (this.#owner === viewer.id) return;
    this.#owner = viewer.id;
    if (viewer.size !== null) this.#wishes.onSize(viewer.size);
    else this.#wishes.onOwner();
  }

  /** The viewer has room again and missed something: it gets the screen, at a bounded rate. */
  #skip(viewer: Viewer): void {
    if (viewer.skipTimer !== undefined || viewer.isSkipping) return;
    const intervalMs = Math.max(SKIP_INTERVAL_MS, viewer.screenCostMs * SKIP_SHARE);
    const waitMs = Math.max(0, viewer.lastScreenMs + intervalMs - performance.now());
    viewer.skipTimer = setTimeout(() => {
      viewer.skipTimer = undefined;
      viewer.isSkipping = true;
      this.#wishes.onScreenWanted(viewer);
    }, waitMs);
  }
}

function jsonMessage(type: number, value: unknown): FedMessage {
  return new FedMessage(type, new TextEncoder().encode(JSON.stringify(value)), { isKept: true });
}
