/** For tests: two multiplexers joined by lanes that deliver when they are told to. */
import * as z from "zod/mini";
import { decodeMessage, type FrameHandler, type LinkProtocolError } from "./codec.ts";
import { Multiplexer, type MultiplexerOptions } from "./multiplexer.ts";
import type { MuxStream } from "./stream.ts";

export const TestHeader = z.object({ name: z.string() });
export type TestHeader = z.infer<typeof TestHeader>;

/** One direction: messages in order, each delivered when `deliver` is called. */
export class Lane {
  readonly messages: Uint8Array[] = [];
  /** DATA payload that was ever sent, by stream. */
  readonly dataBytes = new Map<number, number>();
  /** Streams of the DATA frames, as they were sent. */
  readonly turns: number[] = [];
  readonly dataSizes: number[] = [];
  readonly resets: { streamId: number; code: string }[] = [];
  to: { receive(message: Uint8Array, lifetime: "kept" | "borrowed"): void } | null = null;
  #delivered = 0;
  readonly #spy: FrameHandler = {
    onOpen() {},
    onData: (streamId, { length }) => {
      this.dataBytes.set(streamId, (this.dataBytes.get(streamId) ?? 0) + length);
      this.turns.push(streamId);
      this.dataSizes.push(length);
    },
    onCredit() {},
    onEnd() {},
    onReset: (streamId, code) => void this.resets.push({ streamId, code }),
    onPing() {},
    onPong() {},
  };

  readonly transport = {
    send: (message: Uint8Array) => {
      decodeMessage(message, this.#spy);
      this.messages.push(message.slice());
    },
    bufferedBytes: () => this.messages.reduce((sum, { length }) => sum + length, 0),
  };

  /** Delivers up to `count` messages, every other one in memory that is written over afterwards. Returns whether there was one. */
  deliver(count = Infinity): boolean {
    let delivered = 0;
    for (; delivered < count && this.messages.length > 0; delivered++) {
      const message = this.messages.shift()!;
      const lifetime = this.#delivered++ % 2 === 0 ? "borrowed" : "kept";
      this.to?.receive(message, lifetime);
      if (lifetime === "borrowed") message.fill(0xff);
    }
    return delivered > 0;
  }
}

export class Pair {
  readonly down = new Lane();
  readonly up = new Lane();
  readonly hub: Multiplexer<TestHeader>;
  readonly runner: Multiplexer<TestHeader>;
  /** Streams that the runner's end was given. */
  readonly taken: MuxStream<TestHeader>[] = [];
  readonly failures: LinkProtocolError[] = [];

  constructor(options: Partial<MultiplexerOptions<TestHeader>> = {}) {
    const common = { header: TestHeader, onFailed: (error: LinkProtocolError) => void this.failures.push(error) };
    this.hub = new Multiplexer({ ...common, transport: this.down.transport, ...options });
    this.runner = new Multiplexer({
      ...common,
      transport: this.up.transport,
      onStream: (stream) => void this.taken.push(stream),
      ...options,
    });
    this.down.to = this.runner;
    this.up.to = this.hub;
  }

  /** Opens a stream and gives both ends of it. */
  async open(name: string): Promise<[MuxStream<TestHeader>, MuxStream<TestHeader>]> {
    const near = this.hub.open({ name });
    await this.settle();
    return [near, this.taken.at(-1)!];
  }

  /** Delivers everything, and what follows from it, until nothing is on its way. */
  async settle(): Promise<void> {
    for (;;) {
      await quiet();
      const isDown = this.down.deliver();
      const isUp = this.up.deliver();
      if (!isDown && !isUp) return;
    }
  }
}

/** Lets everything happen that follows without an event from outside. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 12; i++) await null;
}
