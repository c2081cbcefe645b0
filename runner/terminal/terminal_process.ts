/** The daemon's end of one terminal's process. */
import type { LinkStream, StreamHeader } from "@/protocol/link/types.ts";
import { StreamResetError } from "@/protocol/link/types.ts";
import { type TerminalInfo, terminalLimits } from "@/protocol/terminal.ts";
import {
  encodeJson,
  encodeMessage,
  MessageDecoder,
  readJson,
  type TerminalMessage,
} from "@/protocol/terminal_codec.ts";
import { errorText, type Log } from "../log.ts";
import { freeMemory } from "./free_memory.ts";
import type { SelfCommand } from "../self_command.ts";
import {
  EndedFrame,
  FRAME_BYTES,
  frameTypes,
  InfoFrame,
  readViewer,
  StartOrder,
  VIEWER_INPUT_BYTES,
  viewerFrame,
} from "./process_frames.ts";

/** Frames are read in pieces of this size. */
const READ_BYTES = 256 * 1024;
/** How long viewers may take what the terminal showed last, when it ends. */
const LAST_OUTPUT_MS = 2_000;
/** How long a process that was told to end may take. */
const END_MS = 3_000;
/**
 * What a terminal keeps lies outside V8's heap (its scrollback) or is freed by hand; with a small heap V8 collects the rest in time. A
 * still smaller one saves 4 MB and costs speed.
 */
const V8_FLAGS = "--max-semi-space-size=4,--max-old-space-size=192";

export interface TerminalProcessOptions {
  start: StartOrder;
  command: SelfCommand;
  env: Record<string, string>;
  write: Log;
  /** What lists show of it changed. */
  onInfo(info: TerminalInfo): void;
  /** The process is gone, asked for or not. */
  onGone(): void;
  /** What an observed process tells (StartOrder.isObserved). */
  onObserved?(event: ObservedEvent): void;
}

export type ObservedEvent =
  | { kind: "output" | "person" | "resized" }
  | { kind: "raised"; text: string }
  | { kind: "ended"; end: EndedFrame };

interface Viewer {
  stream: LinkStream;
  /** Bytes sent to the process and not taken by it. */
  untaken: number;
  resume: (() => void) | null;
  /** Output that is on its way to the hub, in order. */
  writing: Promise<void>;
}

export class TerminalProcess {
  readonly #options: TerminalProcessOptions;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #viewers = new Map<number, Viewer>();
  #nextViewer = 1;
  #info: TerminalInfo | null = null;
  #isGone = false;
  readonly #started = Promise.withResolvers<TerminalInfo>();

  /** Starts the process. Throws when the program itself cannot be run again. */
  constructor(options: TerminalProcessOptions) {
    this.#options = options;
    const { program, args } = options.command;
    this.#child = new Deno.Command(program, {
      args,
      env: { ...options.env, DENO_V8_FLAGS: V8_FLAGS },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    // Its end is told by stdout's end.
    this.#stdin.closed.catch(() => {});
    this.#started.promise.catch(() => {});
    this.#tell(encodeJson(frameTypes.start, options.start));
    void this.#read();
  }

  /** Resolves when its program runs. Rejects with what kept it from starting. */
  get started(): Promise<TerminalInfo> {
    return this.#started.promise;
  }

  /** Null until it runs. */
  get info(): TerminalInfo | null {
    return this.#info;
  }

  /** Serves a viewer on a stream of the link. */
  attach(stream: LinkStream, { canWrite }: Extract<StreamHeader, { kind: "terminal" }>): void {
    if (this.#isGone) return stream.reset("refused", "the terminal is closed");
    if (this.#viewers.size >= terminalLimits.viewers) {
      stream.reset("too_many_streams", `the terminal has ${terminalLimits.viewers} viewers already`);
      return;
    }
    const number = this.#nextViewer++;
    const viewer: Viewer = { stream, untaken: 0, resume: null, writing: Promise.resolve() };
    this.#viewers.set(number, viewer);
    this.#tell(viewerFrame(frameTypes.attach, number, Uint8Array.of(canWrite ? 1 : 0)));
    void stream.closed.then(() => this.#detach(number));
    void this.#pump(number, viewer);
  }

  /** Types text as a person pastes it, then Enter. At most FRAME_BYTES. */
  enter(text: string): void {
    this.#tell(encodeMessage(frameTypes.enter, new TextEncoder().encode(text)));
  }

  /** Gives bytes to the program, as keys do. */
  keys(bytes: Uint8Array): void {
    this.#tell(encodeMessage(frameTypes.keys, bytes));
  }

  /** Hangs up on the program; its end is observed. */
  hangUp(): void {
    this.#tell(encodeMessage(frameTypes.hangUp, new Uint8Array(0)));
  }

  restart(): void {
    this.#tell(encodeMessage(frameTypes.restart, new Uint8Array(0)));
  }

  /** Ends the program and the process. */
  async close(): Promise<void> {
    this.#tell(encodeMessage(frameTypes.close, new Uint8Array(0)));
    const timer = setTimeout(() => this.kill(), END_MS);
    await this.#child.status;
    clearTimeout(timer);
  }

  /** Ends the process without waiting for it. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }

  #tell(frame: Uint8Array): void {
    this.#stdin.write(frame as Uint8Array<ArrayBuffer>).catch(() => {});
  }

  async #pump(number: number, viewer: Viewer): Promise<void> {
    try {
      for (let bytes = await viewer.stream.read(); bytes !== null; bytes = await viewer.stream.read()) {
        for (let at = 0; at < bytes.length; at += VIEWER_INPUT_BYTES) {
          const part = bytes.subarray(at, at + VIEWER_INPUT_BYTES);
          viewer.untaken += part.length;
          this.#tell(viewerFrame(frameTypes.data, number, part));
          while (viewer.untaken >= VIEWER_INPUT_BYTES) {
            await new Promise<void>((resolve) => viewer.resume = resolve);
            if (!this.#viewers.has(number)) return;
          }
        }
      }
      viewer.stream.end();
    } catch (error) {
      if (!(error instanceof StreamResetError)) this.#options.write("error", `terminal viewer: ${errorText(error)}`);
    } finally {
      this.#detach(number);
    }
  }

  #detach(number: number): void {
    const viewer = this.#viewers.get(number);
    if (viewer === undefined) return;
    this.#viewers.delete(number);
    viewer.resume?.();
    this.#tell(viewerFrame(frameTypes.detach, number));
  }

  async #read(): Promise<void> {
    const decoder = new MessageDecoder(FRAME_BYTES);
    // One buffer for all reads: a flood would else make a gigabyte of garbage of them, which is found late.
    const reader = this.#child.stdout.getReader({ mode: "byob" });
    let buffer = new ArrayBuffer(READ_BYTES);
    try {
      for (;;) {
        const { value, done } = await reader.read(new Uint8Array(buffer));
        if (done) break;
        buffer = value.buffer;
        for (const frame of decoder.push(value)) this.#receive(frame, buffer);
      }
    } catch (error) {
      this.#options.write("error", `terminal process: ${errorText(error)}`, {
        terminalId: this.#options.start.terminalId,
      });
      this.kill();
    }
    this.#isGone = true;
    this.#started.reject(new Error("the terminal's process ended before its program ran"));
    await Promise.all([...this.#viewers].map(([number, viewer]) => this.#letGo(number, viewer)));
    await this.#stdin.close().catch(() => {});
    await this.#child.status;
    this.#options.onGone();
  }

  /** Ends a viewer's stream when it has what the terminal showed last, or after a while when it does not take it. */
  async #letGo(number: number, viewer: Viewer): Promise<void> {
    const { stream } = viewer;
    const timer = setTimeout(() => stream.reset("refused", "the terminal is closed"), LAST_OUTPUT_MS);
    await viewer.writing;
    stream.end();
    await stream.closed;
    clearTimeout(timer);
    this.#detach(number);
  }

  /** @param read the memory that is read into again: what is kept of it must be copied */
  #receive(frame: TerminalMessage, read: ArrayBuffer): void {
    if (frame.type === frameTypes.info) {
      this.#info = readJson(InfoFrame, frame);
      this.#started.resolve(this.#info);
      this.#options.onInfo(this.#info);
      return;
    }
    if (frame.type === frameTypes.problem) {
      this.#started.reject(new Error(new TextDecoder().decode(frame.payload)));
      return;
    }
    const observed = observedEvent(frame);
    if (observed !== null) {
      this.#options.onObserved?.(observed);
      return;
    }
    const { viewer: number, bytes } = readViewer(frame);
    const viewer = this.#viewers.get(number);
    if (viewer === undefined) return;
    if (frame.type === frameTypes.data) {
      // At most a window of output is on its way (terminalLimits.windowBytes): the process waits for the viewer's credit.
      const kept = bytes.buffer === read ? bytes.slice() : bytes;
      viewer.writing = viewer.writing.then(() => viewer.stream.write(kept)).then(() => freeMemory(kept))
        .catch(() => this.#detach(number));
    } else if (frame.type === frameTypes.taken) {
      viewer.untaken -= new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      viewer.resume?.();
      viewer.resume = null;
    } else if (frame.type === frameTypes.fail) {
      viewer.stream.reset("protocol_error", new TextDecoder().decode(bytes));
      this.#detach(number);
    }
  }
}

function observedEvent(frame: TerminalMessage): ObservedEvent | null {
  switch (frame.type) {
    case frameTypes.output:
      return { kind: "output" };
    case frameTypes.person:
      return { kind: "person" };
    case frameTypes.resized:
      return { kind: "resized" };
    case frameTypes.raised:
      return { kind: "raised", text: new TextDecoder().decode(frame.payload) };
    case frameTypes.ended:
      return { kind: "ended", end: readJson(EndedFrame, frame) };
    default:
      return null;
  }
}
