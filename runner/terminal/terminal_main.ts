/** `perch __terminal`: the process of one terminal, told what to do over stdin by the daemon. It ends when the daemon does. */
import { errorText } from "../log.ts";
import {
  encodeJson,
  encodeMessage,
  MessageDecoder,
  readJson,
  type TerminalMessage,
} from "@/protocol/terminal_codec.ts";
import {
  countBytes,
  type EndedFrame,
  FRAME_BYTES,
  frameTypes,
  OBSERVED_MS,
  PROBLEM_CHARS,
  readViewer,
  StartOrder,
  viewerFrame,
  ViewerMessageFrames,
} from "./process_frames.ts";
import { terminalEnv } from "./shell.ts";
import { Terminal, type TerminalObserver } from "./terminal.ts";

/** Changes are told this often at most: a program may ring or set its title a thousand times a second. */
const INFO_INTERVAL_MS = 100;

/** Runs until the daemon closes the terminal or is gone. Resolves with the exit code. */
export async function runTerminal(): Promise<number> {
  // A library that logs would break the frames.
  console.log = console.error;
  // The daemon always reads; until it has, there is nothing better to do here.
  const send = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  };
  const process = new TerminalProcessEnd(send);
  const decoder = new MessageDecoder(FRAME_BYTES);
  try {
    for await (const chunk of Deno.stdin.readable) {
      for (const frame of decoder.push(chunk)) {
        if (!process.receive(frame)) return 0;
      }
    }
  } finally {
    process.close();
  }
  return 0;
}

class TerminalProcessEnd {
  /** Writes at once. */
  readonly #send: (bytes: Uint8Array) => void;
  readonly #frames = new ViewerMessageFrames();
  #terminal: Terminal | null = null;
  /** What each viewer sent is taken in order. */
  readonly #inputs = new Map<number, Promise<void>>();
  #infoTimer: ReturnType<typeof setTimeout> | undefined;
  #lastInfoMs = -Infinity;

  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
  }

  /** False: the process is to end. */
  receive(frame: TerminalMessage): boolean {
    if (frame.type === frameTypes.start) return this.#start(readJson(StartOrder, frame));
    if (frame.type === frameTypes.close) return false;
    const terminal = this.#terminal;
    if (terminal === null) return true;
    if (frame.type === frameTypes.restart) {
      terminal.restart();
      return true;
    }
    if (frame.type === frameTypes.enter) {
      terminal.enter(new TextDecoder().decode(frame.payload));
      return true;
    }
    if (frame.type === frameTypes.keys) {
      terminal.keys(frame.payload);
      return true;
    }
    if (frame.type === frameTypes.hangUp) {
      terminal.hangUp();
      return true;
    }
    const { viewer, bytes } = readViewer(frame);
    switch (frame.type) {
      case frameTypes.attach:
        this.#inputs.set(viewer, Promise.resolve());
        terminal.attach(viewer, bytes[0] === 1, {
          send: (type, payload) => this.#send(this.#frames.frame(viewer, type, payload)),
          fail: (message) => {
            this.#inputs.delete(viewer);
            this.#send(viewerFrame(frameTypes.fail, viewer, new TextEncoder().encode(message)));
          },
        });
        break;
      case frameTypes.data: {
        const before = this.#inputs.get(viewer);
        if (before === undefined) break;
        const taken = before.then(() => terminal.receive(viewer, bytes)).then(() => {
          if (this.#inputs.has(viewer)) this.#send(viewerFrame(frameTypes.taken, viewer, countBytes(bytes.length)));
        });
        this.#inputs.set(viewer, taken);
        break;
      }
      case frameTypes.detach:
        this.#inputs.delete(viewer);
        terminal.detach(viewer);
        break;
    }
    return true;
  }

  close(): void {
    clearTimeout(this.#infoTimer);
    this.#terminal?.close();
  }

  #start(order: StartOrder): boolean {
    const terminal = new Terminal({
      ...order,
      env: { ...terminalEnv(Deno.env.toObject()), PWD: order.cwd },
      onChange: () => this.#tellInfo(),
      ...(order.isObserved ? { observer: new ToldObserver(this.#send) } : {}),
    });
    try {
      terminal.start();
    } catch (error) {
      const text = `"${order.command[0]}" cannot be started: ${errorText(error)}`.slice(0, PROBLEM_CHARS);
      this.#send(encodeMessage(frameTypes.problem, new TextEncoder().encode(text)));
      return false;
    }
    this.#terminal = terminal;
    this.#tellInfo();
    return true;
  }

  #tellInfo(): void {
    if (this.#infoTimer !== undefined || this.#terminal === null) return;
    const waitMs = Math.max(0, this.#lastInfoMs + INFO_INTERVAL_MS - performance.now());
    const tell = () => {
      this.#infoTimer = undefined;
      this.#lastInfoMs = performance.now();
      if (this.#terminal) this.#send(encodeJson(frameTypes.info, this.#terminal.info));
    };
    if (waitMs === 0) tell();
    else this.#infoTimer = setTimeout(tell, waitMs);
  }
}

/** Tells an observer on the other end, seldom enough. */
class ToldObserver implements TerminalObserver {
  readonly #send: (bytes: Uint8Array) => void;
  #lastOutputMs = -Infinity;
  #lastPersonMs = -Infinity;
  #lastResizedMs = -Infinity;
  #lastRaised = { text: "", atMs: -Infinity };

  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
  }

  onOutput(): void {
    const now = performance.now();
    if (now - this.#lastOutputMs < OBSERVED_MS) return;
    this.#lastOutputMs = now;
    this.#send(encodeMessage(frameTypes.output, new Uint8Array(0)));
  }

  onPerson(): void {
    const now = performance.now();
    if (now - this.#lastPersonMs < OBSERVED_MS) return;
    this.#lastPersonMs = now;
    this.#send(encodeMessage(frameTypes.person, new Uint8Array(0)));
  }

  onResized(): void {
    const now = performance.now();
    if (now - this.#lastResizedMs < OBSERVED_MS) return;
    this.#lastResizedMs = now;
    this.#send(encodeMessage(frameTypes.resized, new Uint8Array(0)));
  }

  onRaised(text: string): void {
    const now = performance.now();
    // A program that rings all the time says one thing.
    if (text === this.#lastRaised.text && now - this.#lastRaised.atMs < OBSERVED_MS) return;
    this.#lastRaised = { text, atMs: now };
    this.#lastPersonMs = -Infinity;
    this.#send(encodeMessage(frameTypes.raised, new TextEncoder().encode(text)));
  }

  onEnded(end: EndedFrame): void {
    this.#send(encodeJson(frameTypes.ended, end));
  }
}
