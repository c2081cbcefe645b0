/** An agent's process without a process: a handler for its input, and an output whose bytes are cut as a test likes. */
import type { AgentExit } from "@/runner/agents/agent.ts";
import type { AgentPipes } from "@/runner/agents/process.ts";
import { LineSplitter } from "@/runner/agents/json_lines.ts";
import type { Json } from "./transcript.ts";

export interface Player {
  receive(message: Json): void;
  advance(): void;
}

/** The pipes of a fake agent. `cut` says how long the next chunk of its output is, in bytes. */
export class FakePipes implements AgentPipes {
  readonly stdin: WritableStream<Uint8Array<ArrayBuffer>>;
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly exited: Promise<AgentExit>;
  readonly #exit = Promise.withResolvers<AgentExit>();
  readonly #cut: () => number;
  #out: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | null = null;
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #isFlushing = false;
  #isEnded = false;

  constructor(makePlayer: (send: (message: Json | string) => void) => Player, cut: () => number = () => Infinity) {
    this.#cut = cut;
    this.exited = this.#exit.promise;
    const splitter = new LineSplitter();
    const player = makePlayer((message) => this.#send(message));
    this.stdin = new WritableStream({
      write: (chunk) => {
        for (const line of splitter.push(chunk)) player.receive(JSON.parse(line));
      },
    });
    this.stdout = new ReadableStream({
      start: (controller) => {
        this.#out = controller;
      },
    });
    player.advance();
  }

  stop(): Promise<AgentExit> {
    this.end({ code: 0, signal: null, stderrTail: "" });
    return this.exited;
  }

  /** Ends the process: what was sent before still arrives. */
  end(exit: AgentExit): void {
    if (this.#isEnded) return;
    this.#flush(true);
    this.#isEnded = true;
    this.#out?.close();
    this.#exit.resolve(exit);
  }

  /** A line (or the raw text of one) of output; it leaves in chunks, so that lines are cut and joined. */
  #send(message: Json | string): void {
    if (this.#isEnded) return;
    const line = typeof message === "string" ? message : JSON.stringify(message);
    const bytes = new TextEncoder().encode(`${line}\n`);
    const joined = new Uint8Array(this.#rest.length + bytes.length);
    joined.set(this.#rest);
    joined.set(bytes, this.#rest.length);
    this.#rest = joined;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    // All that is sent in one go is cut as one piece of output.
    queueMicrotask(() => {
      this.#isFlushing = false;
      this.#flush(false);
    });
  }

  #flush(isEnd: boolean): void {
    while (this.#rest.length > 0) {
      const length = isEnd ? this.#rest.length : Math.max(1, Math.min(this.#cut(), this.#rest.length));
      this.#out?.enqueue(this.#rest.slice(0, length));
      this.#rest = this.#rest.slice(length);
    }
  }
}
