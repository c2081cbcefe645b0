import assert from "node:assert/strict";
import { encodeCredit, encodeData, encodeEnd, encodeOpen, encodePing, encodeReset } from "./codec.ts";
import { Pair, quiet } from "./testing.ts";
import { linkLimits, StreamResetError } from "./types.ts";

const kib = (count: number) => new Uint8Array(count * 1024);

async function readAll(stream: { read(): Promise<Uint8Array | null> }): Promise<number> {
  let total = 0;
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) total += bytes.length;
  return total;
}

Deno.test("bytes, ends and the header reach the other end; both ends close", async () => {
  const pair = new Pair();
  const [near, far] = await pair.open("first");
  assert.deepEqual(far.header, { name: "first" });
  near.write(new TextEncoder().encode("hello "));
  near.write(new TextEncoder().encode("there"));
  near.end();
  await pair.settle();
  // Two small writes of one turn are one frame.
  assert.equal(new TextDecoder().decode(await far.read() ?? undefined), "hello there");
  assert.equal(await far.read(), null);
  far.end();
  await pair.settle();
  assert.equal(await near.read(), null);
  assert.deepEqual([await near.closed, await far.closed], [null, null]);
});

Deno.test("a reader that stands still stops its own writer at the window, and no one else", async () => {
  const pair = new Pair();
  const [stalled, stalledFar] = await pair.open("stalled");
  const [bulk, bulkFar] = await pair.open("bulk");
  let isDone = false;
  const blocked = stalled.write(kib(3 * 1024)).then(() => isDone = true);
  const got = readAll(bulkFar);
  for (let i = 0; i < 100; i++) bulk.write(kib(100));
  bulk.end();
  await pair.settle();
  assert.equal(await got, 100 * 100 * 1024);
  assert.equal(pair.down.dataBytes.get(stalled.id), linkLimits.firstBytes);
  assert.equal(isDone, false);
  const all = readAll(stalledFar);
  await pair.settle();
  await blocked;
  stalled.end();
  await pair.settle();
  assert.equal(await all, 3 * 1024 * 1024);
});

Deno.test("however many readers stand still, what lies unread has a bound, and one more stream gets on", async () => {
  const [firstBytes, windowBytes, sharedBytes] = [1024, 64 * 1024, 512 * 1024];
  const pair = new Pair({ firstBytes, windowBytes, sharedBytes });
  const stalled = [];
  for (let i = 0; i < 100; i++) {
    const [near, far] = await pair.open(`${i}`);
    near.write(kib(1024)).catch(() => {});
    // It reads until its window is as large as it gets, and then no more.
    let read = 0;
    while (read < 4 * windowBytes) {
      const piece = far.read();
      await pair.settle();
      read += (await piece)!.length;
    }
    stalled.push({ id: near.id, read, far });
  }
  await pair.settle();
  const unread = stalled.reduce((sum, { id, read }) => sum + pair.down.dataBytes.get(id)! - read, 0);
  assert.ok(unread <= sharedBytes + stalled.length * firstBytes, `${unread} bytes are unread`);
  assert.ok(unread > sharedBytes / 2, `${unread} bytes are unread`);
  assert.ok(pair.runner.stats.sharedBytes <= sharedBytes);
  assert.ok(pair.runner.stats.squeezedGrants > 0);
  const [near, far] = await pair.open("one more");
  near.write(kib(256));
  near.end();
  const got = readAll(far);
  await pair.settle();
  assert.equal(await got, 256 * 1024);
  // What they held is there for others once they are gone.
  for (const { far } of stalled) far.reset("cancelled");
  await pair.settle();
  assert.equal(pair.runner.stats.sharedBytes, 0);
});

Deno.test("streams take turns of at most one DATA frame each, and a small one waits for one round", async () => {
  const pair = new Pair({ firstBytes: linkLimits.windowBytes });
  const streams = await Promise.all(["a", "b", "c"].map((name) => pair.open(name)));
  const from = pair.down.turns.length;
  for (const [near] of streams) near.write(kib(512));
  const [small] = await pair.open("small");
  small.write(kib(1));
  await pair.settle();
  const turns = pair.down.turns.slice(from);
  assert.deepEqual(turns.slice(0, 6), [1, 2, 3, 1, 2, 3]);
  assert.ok(pair.down.dataSizes.every((size) => size <= linkLimits.dataBytes));
});

Deno.test("no more than the link's bound is on its way, and control frames do not wait for it", async () => {
  const pair = new Pair({ firstBytes: 64 * 1024, windowBytes: 64 * 1024, socketBytes: 128 * 1024 });
  const ends = [];
  for (let i = 0; i < 4; i++) ends.push(await pair.open(`${i}`));
  for (const [near] of ends) near.write(kib(64));
  await quiet();
  assert.equal(pair.hub.stats.sentBytes, 128 * 1024);
  const late = pair.hub.open({ name: "late" });
  late.end();
  ends[3]![0].reset("cancelled");
  await quiet();
  assert.equal(pair.hub.stats.sentBytes, 128 * 1024);
  assert.equal(pair.down.resets.length, 1);
  await pair.settle();
  assert.equal(pair.taken.length, 5);
  assert.equal(await pair.taken[4]!.read(), null);
  assert.equal(pair.hub.stats.sentBytes, 3 * 64 * 1024);
});

Deno.test("more than was granted resets that stream only", async () => {
  const pair = new Pair();
  const [, far] = await pair.open("greedy");
  const [other, otherFar] = await pair.open("other");
  for (let sent = 0; sent <= linkLimits.windowBytes; sent += linkLimits.dataBytes) {
    pair.runner.receive(encodeData(far.id, kib(64)));
  }
  assert.equal((await far.closed)?.code, "credit_overrun");
  await assert.rejects(far.read(), { code: "credit_overrun" });
  await quiet();
  // The other end never sent these, so it is not told that they arrived.
  pair.up.messages.length = 0;
  assert.deepEqual(pair.up.resets, [{ streamId: far.id, code: "credit_overrun" }]);
  other.write(kib(1));
  await pair.settle();
  assert.equal((await otherFar.read())?.length, 1024);
});

Deno.test("DATA after the end, a second end and too much credit reset that stream only", async () => {
  const pair = new Pair();
  const [, ended] = await pair.open("ended");
  pair.runner.receive(encodeEnd(ended.id));
  pair.runner.receive(encodeData(ended.id, kib(1)));
  assert.equal((await ended.closed)?.code, "credit_overrun");
  const [, twice] = await pair.open("twice");
  pair.runner.receive(encodeEnd(twice.id));
  pair.runner.receive(encodeEnd(twice.id));
  assert.equal((await twice.closed)?.code, "protocol_error");
  const [, rich] = await pair.open("rich");
  pair.runner.receive(encodeCredit(rich.id, 0xffffffff));
  assert.equal((await rich.closed)?.code, "protocol_error");
  assert.deepEqual(pair.failures, []);
});

Deno.test("frames of streams that do not exist are ignored and counted", async () => {
  const pair = new Pair();
  const [near] = await pair.open("closed");
  near.reset("cancelled");
  await pair.settle();
  for (const streamId of [near.id, 77, 0xffffffff]) {
    for (const frame of [encodeData(streamId, kib(1)), encodeCredit(streamId, 5), encodeEnd(streamId)]) {
      pair.runner.receive(frame);
    }
    pair.runner.receive(encodeReset(streamId, "internal", ""));
  }
  await pair.settle();
  assert.equal(pair.runner.stats.ignoredFrames, 12);
  assert.deepEqual([pair.failures, pair.up.resets], [[], []]);
});

Deno.test("of 100,000 opens, those beyond the bound are reset", async () => {
  const pair = new Pair();
  for (let streamId = 1; streamId <= 100_000; streamId++) {
    pair.runner.receive(encodeOpen(streamId, { name: "x" }));
    if (streamId % 1_000 === 0) {
      await quiet();
      pair.up.messages.length = 0;
    }
  }
  await quiet();
  assert.equal(pair.taken.length, linkLimits.streams);
  assert.equal(pair.runner.stats.streams, linkLimits.streams);
  assert.equal(pair.runner.stats.refusedStreams, 100_000 - linkLimits.streams);
  assert.ok(pair.up.resets.every(({ code }) => code === "too_many_streams"));
});

Deno.test("whoever makes answers and does not read them is given up", async () => {
  const pair = new Pair();
  for (let streamId = 1; pair.failures.length === 0 && streamId < 10_000_000; streamId++) {
    pair.runner.receive(encodeOpen(streamId, { name: "x" }));
    if (streamId % 1_000 === 0) await quiet();
  }
  assert.equal(pair.failures[0]?.code, "too_large");
  assert.ok(pair.up.transport.bufferedBytes() < 10_000_000);
  assert.equal((await pair.taken[0]!.closed)?.code, "link_lost");
});

Deno.test("only one end opens streams", async () => {
  const pair = new Pair();
  const [near] = await pair.open("mine");
  pair.hub.receive(encodeOpen(99, { name: "x" }));
  pair.hub.receive(encodeOpen(near.id, { name: "x" }));
  await quiet();
  assert.deepEqual(pair.down.resets, [{ streamId: 99, code: "refused" }, { streamId: near.id, code: "refused" }]);
  assert.equal((await near.closed)?.code, "protocol_error");
  assert.equal(pair.hub.stats.refusedStreams, 2);
  assert.throws(() => pair.runner.open({ name: "x" }), /other end/);
});

Deno.test("a header that is none resets its stream; an open of an open stream ends the link", async () => {
  const pair = new Pair();
  pair.runner.receive(encodeOpen(1, { wrong: 1 }));
  pair.runner.receive(encodeOpen(2, "text"));
  await pair.settle();
  assert.deepEqual(pair.up.resets.map(({ code }) => code), ["protocol_error", "protocol_error"]);
  pair.runner.receive(encodeOpen(3, { name: "x" }));
  pair.runner.receive(encodeOpen(3, { name: "x" }));
  assert.equal(pair.failures[0]?.code, "malformed");
  assert.equal((await pair.taken[0]!.closed)?.code, "link_lost");
});

Deno.test("an acceptor that throws resets its stream", async () => {
  const pair = new Pair();
  pair.taken.push = () => {
    throw new Error("no room");
  };
  const near = pair.hub.open({ name: "x" });
  await pair.settle();
  const error = await near.closed;
  assert.deepEqual([error?.code, error?.message], ["internal", "no room"]);
});

Deno.test("a lost link rejects reads and writes, and nothing can be opened; what has arrived whole is still read", async () => {
  const pair = new Pair();
  const [near, far] = await pair.open("open");
  const [whole, wholeFar] = await pair.open("whole");
  wholeFar.write(kib(1));
  wholeFar.end();
  whole.end();
  await pair.settle();
  const reads = assert.rejects(near.read(), { name: "StreamResetError", code: "link_lost" });
  const writes = assert.rejects(near.write(kib(5_000)), { code: "link_lost" });
  // Nobody looks at this one: it must not be an unhandled rejection.
  void near.write(kib(1));
  pair.hub.lost("the cable was cut");
  await reads;
  await writes;
  assert.equal((await near.closed)?.message, "the cable was cut");
  await assert.rejects(near.write(kib(1)), { code: "link_lost" });
  assert.throws(() => pair.hub.open({ name: "x" }), (error) => error instanceof StreamResetError);
  assert.equal((await whole.read())?.length, 1024);
  assert.equal(await whole.read(), null);
  assert.equal(far.header.name, "open");
});

Deno.test("streams beyond the bound are not opened, and ids of closed ones are not used again", async () => {
  const pair = new Pair({ streams: 2 });
  const [a] = await pair.open("a");
  await pair.open("b");
  assert.throws(() => pair.hub.open({ name: "c" }), { code: "too_many_streams" });
  a.reset("cancelled");
  const [c] = await pair.open("c");
  assert.deepEqual([a.id, c.id], [1, 3]);
  assert.equal(pair.runner.stats.streams, 2);
});

Deno.test("a ping is answered, many at once by one pong", async () => {
  const pair = new Pair();
  for (let i = 0; i < 1_000; i++) pair.runner.receive(encodePing());
  await quiet();
  assert.deepEqual(pair.up.messages.map(({ length }) => length), [8]);
});

Deno.test("write after end, two reads at once and reset twice", async () => {
  const pair = new Pair();
  const [near, far] = await pair.open("x");
  near.end();
  near.end();
  await assert.rejects(near.write(kib(1)), /after end/);
  const first = near.read();
  await assert.rejects(near.read(), /earlier read/);
  far.reset("refused", "not today");
  far.reset("internal");
  await pair.settle();
  await assert.rejects(first, { code: "refused", message: "not today" });
  assert.equal(pair.up.resets.length, 1);
  assert.equal((await far.closed)?.code, "refused");
});
