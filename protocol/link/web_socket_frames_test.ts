import assert from "node:assert/strict";
import fc from "fast-check";
import {
  MAX_HEAD_BYTES,
  opcodes,
  WebSocketFrameError,
  WebSocketReader,
  writeClientFrame,
} from "./web_socket_frames.ts";

/** A frame as a server sends it. */
function serverFrame(first: number, payload: Uint8Array): number[] {
  const { length } = payload;
  const head = length < 126
    ? [length]
    : length < 0x10000
    ? [126, length >> 8, length & 0xff]
    : [127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (length >>> shift) & 0xff)];
  return [first, ...head, ...payload];
}

function read(bytes: Uint8Array, cuts: readonly number[], maxBytes = 1_000_000): unknown[] {
  const seen: unknown[] = [];
  const reader = new WebSocketReader({
    onMessage: (isText, message) => seen.push([isText ? "text" : "binary", [...message]]),
    onControl: (opcode, message) => seen.push([opcode, [...message]]),
  }, maxBytes);
  let at = 0;
  for (const cut of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    reader.push(bytes.subarray(at, cut));
    at = cut;
  }
  return seen;
}

const payload = fc.uint8Array({ maxLength: 400 });

Deno.test("messages are read as they were sent, in fragments or whole, however the bytes are cut", () => {
  const message = fc.record({
    isText: fc.boolean(),
    parts: fc.array(payload, { minLength: 1, maxLength: 4 }),
    ping: fc.option(fc.uint8Array({ maxLength: 125 })),
  });
  fc.assert(fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.nat()), (messages, cuts) => {
    const bytes: number[] = [];
    const expected: unknown[] = [];
    for (const { isText, parts, ping } of messages) {
      parts.forEach((part, index) => {
        const opcode = index > 0 ? opcodes.continuation : isText ? opcodes.text : opcodes.binary;
        bytes.push(...serverFrame((index === parts.length - 1 ? 0x80 : 0) | opcode, part));
        // A control frame may come between two fragments.
        if (index === 0 && ping !== null) {
          bytes.push(...serverFrame(0x80 | opcodes.ping, ping));
        }
      });
      const seen = [isText ? "text" : "binary", parts.flatMap((part) => [...part])];
      const pinged = [opcodes.ping, [...ping ?? []]];
      if (ping === null) expected.push(seen);
      else if (parts.length === 1) expected.push(seen, pinged);
      else expected.push(pinged, seen);
    }
    assert.deepEqual(read(Uint8Array.from(bytes), cuts), expected);
  }));
});

Deno.test("large messages cross the ends of buffers", () => {
  const messages = [200_000, 300_000, 5, 600_000, 131_092, 131_092, 131_092].map((length, seed) =>
    Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff)
  );
  const bytes = Uint8Array.from(messages.flatMap((message) => serverFrame(0x80 | opcodes.binary, message)));
  for (const step of [7_919, 65_536, bytes.length]) {
    const cuts = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => i * step);
    assert.deepEqual(read(bytes, cuts), messages.map((message) => ["binary", [...message]]));
  }
});

Deno.test("any bytes are read or refused with a typed error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(), { maxLength: 3 }), (bytes, cuts) => {
      try {
        read(bytes, cuts);
      } catch (error) {
        assert.ok(error instanceof WebSocketFrameError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
  for (
    const [bytes, message] of [
      [[0xc1, 0], /reserved/],
      [[0x81, 0x80, 0, 0, 0, 0], /masked/],
      [[0x83, 0], /opcode 3/],
      [[0x80, 0], /without a beginning/],
      [[0x01, 0, 0x01, 0], /within another/],
      [[0x09, 0], /control/],
      [[0x89, 126, 0, 126, ...new Uint8Array(126)], /control/],
      [[0x82, 127, 0, 0, 0, 0, 0xff, 0, 0, 0], /at most/],
    ] as const
  ) assert.throws(() => read(Uint8Array.from(bytes), []), message);
});

Deno.test("what a client writes is masked, and the same once unmasked", () => {
  const length = fc.oneof(fc.nat(300), fc.constantFrom(125, 126, 65_535, 65_536, 70_001));
  fc.assert(fc.property(length, fc.nat(9), fc.nat(0xffffffff), (length, at, mask) => {
    const payload = Uint8Array.from({ length }, (_, i) => (i * 13) & 0xff);
    const target = new Uint8Array(at + MAX_HEAD_BYTES + length);
    const end = writeClientFrame(target, at, opcodes.binary, payload, mask);
    assert.equal(target[at], 0x82);
    assert.ok(target[at + 1]! & 0x80);
    const from = end - length;
    const maskBytes = target.subarray(from - 4, from);
    assert.equal(new DataView(maskBytes.buffer, maskBytes.byteOffset).getUint32(0), mask);
    assert.deepEqual(target.subarray(from, end).map((byte, i) => byte ^ maskBytes[i & 3]!), payload);
  }));
});
