import assert from "node:assert/strict";
import fc from "fast-check";
import type { MuxStream } from "./stream.ts";
import { Pair, quiet, type TestHeader } from "./testing.ts";
import { StreamResetError } from "./types.ts";

const FIRST_BYTES = 200;
const WINDOW_BYTES = 1_000;
const SHARED_BYTES = 1_500;
const IN_FLIGHT_BYTES = 2_500;
const STREAMS = 6;

type Step =
  | { do: "open" }
  | { do: "write"; stream: number; isHub: boolean; bytes: number }
  | { do: "read" | "end"; stream: number; isHub: boolean }
  | { do: "reset"; stream: number; isHub: boolean }
  | { do: "deliver"; isDown: boolean; count: number };

const stream = fc.nat(STREAMS - 1);
const isHub = fc.boolean();
const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant("open" as const) }) },
    {
      weight: 12,
      arbitrary: fc.record({ do: fc.constant("write" as const), stream, isHub, bytes: fc.nat(3_000) }),
    },
    { weight: 12, arbitrary: fc.record({ do: fc.constant("read" as const), stream, isHub }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("end" as const), stream, isHub }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("reset" as const), stream, isHub }) },
    {
      weight: 12,
      arbitrary: fc.record({
        do: fc.constant("deliver" as const),
        isDown: fc.boolean(),
        count: fc.integer({ min: 1, max: 4 }),
      }),
    },
  ),
  { maxLength: 120 },
);

/** One end under test: what was written to it and read from it. */
class End {
  written = 0;
  read = 0;
  isEnded = false;
  isAtEnd = false;
  isReading = false;
  other!: End;
  constructor(readonly seed: number, readonly stream: MuxStream<TestHeader>) {}

  write(bytes: number): void {
    if (this.isEnded) return;
    const piece = Uint8Array.from({ length: bytes }, (_, i) => byteOf(this.seed, this.written + i));
    this.written += bytes;
    this.stream.write(piece).catch(expectReset);
  }

  startRead(): void {
    if (this.isReading || this.isAtEnd) return;
    this.isReading = true;
    this.stream.read().then((piece) => {
      this.isReading = false;
      if (piece === null) {
        this.isAtEnd = true;
        return;
      }
      for (const byte of piece) assert.equal(byte, byteOf(this.other.seed, this.read++));
    }).catch((error) => {
      expectReset(error);
      this.isAtEnd = true;
    });
  }
}

const byteOf = (seed: number, at: number) => (seed * 131 + at * 7 + (at >> 8)) & 0xff;

function expectReset(error: unknown): void {
  if (!(error instanceof StreamResetError)) throw error;
}

Deno.test("whatever the order of opens, reads, writes, ends, resets and deliveries: each stream has its bytes, within its window", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (steps) => {
      const pair = new Pair({
        firstBytes: FIRST_BYTES,
        windowBytes: WINDOW_BYTES,
        sharedBytes: SHARED_BYTES,
        socketBytes: IN_FLIGHT_BYTES,
      });
      const streams: { hub: End; runner: End; isReset: boolean }[] = [];
      const checkWindows = () => {
        for (const { hub, runner } of streams) {
          const { id } = hub.stream;
          assert.ok((pair.down.dataBytes.get(id) ?? 0) - runner.read <= WINDOW_BYTES);
          assert.ok((pair.up.dataBytes.get(id) ?? 0) - hub.read <= WINDOW_BYTES);
        }
        for (const { stats } of [pair.hub, pair.runner]) assert.ok(stats.sharedBytes <= SHARED_BYTES);
        const unread = [0, 0];
        for (const { hub, runner } of streams) {
          const { id } = hub.stream;
          unread[0]! += Math.max(0, (pair.down.dataBytes.get(id) ?? 0) - runner.read);
          unread[1]! += Math.max(0, (pair.up.dataBytes.get(id) ?? 0) - hub.read);
        }
        // What was reset is dropped, and sent by nobody any more.
        if (streams.every(({ isReset }) => !isReset)) {
          for (const bytes of unread) assert.ok(bytes <= SHARED_BYTES + FIRST_BYTES * streams.length);
        }
        for (const [sender, receiver] of [[pair.hub, pair.runner], [pair.runner, pair.hub]] as const) {
          assert.ok(sender.stats.sentBytes - receiver.stats.receivedBytes <= IN_FLIGHT_BYTES);
        }
      };
      const opens: Step[] = [{ do: "open" }, { do: "open" }];
      for (const step of [...opens, ...steps]) {
        if (step.do === "open") {
          if (streams.length === STREAMS) continue;
          const [near, far] = await pair.open("");
          const hub = new End(2 * streams.length, near);
          const runner = new End(2 * streams.length + 1, far);
          [hub.other, runner.other] = [runner, hub];
          streams.push({ hub, runner, isReset: false });
        } else if (step.do === "deliver") {
          (step.isDown ? pair.down : pair.up).deliver(step.count);
        } else {
          const ends = streams[step.stream];
          if (ends === undefined) continue;
          const end = step.isHub ? ends.hub : ends.runner;
          if (step.do === "write") end.write(step.bytes);
          else if (step.do === "read") end.startRead();
          else if (step.do === "end") {
            end.isEnded = true;
            end.stream.end();
          } else {
            ends.isReset = true;
            end.stream.reset("cancelled");
          }
        }
        await quiet();
        checkWindows();
      }
      // In the end everybody reads: nothing may be left, nobody may starve.
      for (const { hub, runner } of streams) {
        hub.stream.end();
        runner.stream.end();
      }
      for (let isBusy = true; isBusy;) {
        for (const { hub, runner } of streams) for (const end of [hub, runner]) end.startRead();
        await quiet();
        const before = streams.map(({ hub, runner }) => [hub.read, runner.read, hub.isAtEnd, runner.isAtEnd]);
        await pair.settle();
        checkWindows();
        const after = streams.map(({ hub, runner }) => [hub.read, runner.read, hub.isAtEnd, runner.isAtEnd]);
        isBusy = JSON.stringify(before) !== JSON.stringify(after) ||
          streams.some(({ hub, runner }) => [hub, runner].some((end) => !end.isAtEnd && !end.isReading));
      }
      for (const { hub, runner, isReset } of streams) {
        if (!isReset) {
          assert.deepEqual([hub.read, runner.read], [runner.written, hub.written]);
          assert.equal(await hub.stream.closed, null);
          assert.equal(await runner.stream.closed, null);
        }
        assert.ok(hub.isAtEnd && runner.isAtEnd);
      }
      assert.deepEqual(pair.failures, []);
      assert.deepEqual([pair.hub.stats.sharedBytes, pair.runner.stats.sharedBytes], [0, 0]);
      assert.equal(pair.hub.stats.streams, 0);
      assert.equal(pair.runner.stats.streams, 0);
    }),
    { numRuns: 1_000 },
  );
});
