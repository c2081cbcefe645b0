import assert from "node:assert/strict";
import fc from "fast-check";
import { ReceiveQueue } from "./receive_queue.ts";

Deno.test("a queue gives the bytes that were put in, in order, and counts those that are in it", () => {
  const steps = fc.array(fc.oneof(fc.constant("take" as const), fc.nat(9_000)), { maxLength: 60 });
  fc.assert(fc.property(steps, (steps) => {
    const queue = new ReceiveQueue();
    let put = 0;
    let taken = 0;
    const take = () => {
      const piece = queue.shift();
      for (const byte of piece ?? []) assert.equal(byte, taken++ & 0xff);
      return piece !== null;
    };
    for (const step of steps) {
      if (step === "take") take();
      else {
        const piece = Uint8Array.from({ length: step }, () => put++ & 0xff);
        queue.push(piece, step % 2 === 0);
        // What was borrowed is written over.
        if (step % 2 === 0) piece.fill(0);
      }
      assert.equal(queue.bytes, put - taken);
    }
    while (take());
    assert.equal(taken, put);
  }));
});

Deno.test("a byte at a time costs few pieces, and keeps no message that it was a small part of", () => {
  const queue = new ReceiveQueue();
  const message = new Uint8Array(128 * 1024);
  for (let i = 0; i < 200_000; i++) queue.push(message.subarray(i % 100, (i % 100) + 1), false);
  queue.push(message.subarray(0, 5_000), false);
  let pieces = 0;
  let bufferBytes = 0;
  for (let piece = queue.shift(); piece !== null; piece = queue.shift()) {
    assert.notEqual(piece.buffer, message.buffer);
    pieces++;
    bufferBytes += piece.buffer.byteLength;
  }
  assert.ok(pieces < 20, `${pieces} pieces`);
  assert.ok(bufferBytes < 500_000, `${bufferBytes} bytes`);
});

Deno.test("what is a large part of its message is not copied", () => {
  const queue = new ReceiveQueue();
  const message = new Uint8Array(64 * 1024);
  queue.push(message.subarray(8), false);
  assert.equal(queue.shift()?.buffer, message.buffer);
});
