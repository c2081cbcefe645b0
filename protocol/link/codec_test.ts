import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeJson,
  decodeMessage,
  encodeCredit,
  encodeData,
  encodeEnd,
  encodeOpen,
  encodePing,
  encodePong,
  encodeReset,
  FRAME_HEAD_BYTES,
  type FrameHandler,
  LinkProtocolError,
} from "./codec.ts";
import { linkLimits, resetCodes } from "./types.ts";

type Seen = readonly unknown[];

/** Collects what is decoded. */
class Collector implements FrameHandler {
  readonly seen: Seen[] = [];
  onOpen(streamId: number, header: Uint8Array): void {
    this.seen.push(["open", streamId, header.slice()]);
  }
  onData(streamId: number, bytes: Uint8Array): void {
    this.seen.push(["data", streamId, bytes.slice()]);
  }
  onCredit(streamId: number, bytes: number): void {
    this.seen.push(["credit", streamId, bytes]);
  }
  onEnd(streamId: number): void {
    this.seen.push(["end", streamId]);
  }
  onReset(streamId: number, code: string, message: string): void {
    this.seen.push(["reset", streamId, code, message]);
  }
  onPing(): void {
    this.seen.push(["ping"]);
  }
  onPong(): void {
    this.seen.push(["pong"]);
  }
}

function decode(message: Uint8Array): Seen[] {
  const collector = new Collector();
  decodeMessage(message, collector);
  return collector.seen;
}

const id = fc.integer({ min: 1, max: 0xffffffff });
const bytes = fc.uint8Array({ maxLength: 300 });
/** A frame and what it is decoded to. */
const frames: fc.Arbitrary<{ frame: Uint8Array; seen: Seen }> = fc.oneof(
  fc.tuple(id, fc.dictionary(fc.string(), fc.string())).map(([streamId, header]) => ({
    frame: encodeOpen(streamId, header),
    seen: ["open", streamId, new TextEncoder().encode(JSON.stringify(header))],
  })),
  fc.tuple(id, bytes).map(([streamId, data]) => ({
    frame: encodeData(streamId, data),
    seen: ["data", streamId, data],
  })),
  fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)).map(([streamId, credit]) => ({
    frame: encodeCredit(streamId, credit),
    seen: ["credit", streamId, credit],
  })),
  id.map((streamId) => ({ frame: encodeEnd(streamId), seen: ["end", streamId] })),
  fc.tuple(id, fc.constantFrom(...resetCodes), fc.string({ unit: "binary", maxLength: 200 })).map((
    [streamId, code, message],
  ) => ({ frame: encodeReset(streamId, code, message), seen: ["reset", streamId, code, message.toWellFormed()] })),
  fc.constant({ frame: encodePing(), seen: ["ping"] }),
  fc.constant({ frame: encodePong(), seen: ["pong"] }),
);

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

Deno.test("a message is decoded to the frames that were packed into it, wherever it lies in its buffer", () => {
  fc.assert(fc.property(fc.array(frames, { maxLength: 20 }), fc.nat(20), (packed, offset) => {
    const message = join([new Uint8Array(offset), ...packed.map(({ frame }) => frame)]).subarray(offset);
    assert.deepEqual(decode(message), packed.map(({ seen }) => seen));
  }));
});

Deno.test("a message cut anywhere gives the whole frames before the cut, and a typed error unless it falls between two", () => {
  fc.assert(fc.property(fc.array(frames, { minLength: 1, maxLength: 5 }), (packed) => {
    const message = join(packed.map(({ frame }) => frame));
    const ends = new Map<number, number>([[0, 0]]);
    packed.reduce((at, { frame }, index) => {
      ends.set(at + frame.length, index + 1);
      return at + frame.length;
    }, 0);
    let whole = 0;
    for (let cut = 0; cut < message.length; cut++) {
      whole = ends.get(cut) ?? whole;
      const collector = new Collector();
      const run = () => decodeMessage(message.subarray(0, cut), collector);
      if (ends.has(cut)) run();
      else assert.throws(run, (error) => error instanceof LinkProtocolError && error.code === "truncated");
      assert.deepEqual(collector.seen, packed.slice(0, whole).map(({ seen }) => seen));
    }
  }));
});

Deno.test("any bytes are decoded or refused with a typed error", () => {
  const typed = (run: () => void) => {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof LinkProtocolError, String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => typed(() => decode(noise))), { numRuns: 2_000 });
  // Whole frames with one byte changed come further.
  fc.assert(
    fc.property(fc.array(frames, { minLength: 1, maxLength: 4 }), fc.nat(), fc.nat(255), (packed, at, value) => {
      const message = join(packed.map(({ frame }) => frame));
      message[at % message.length] = value;
      typed(() => decode(message));
    }),
    { numRuns: 2_000 },
  );
  fc.assert(fc.property(fc.uint8Array(), (noise) => typed(() => decodeJson(noise))));
});

Deno.test("what is decoded are views of the message, not copies", () => {
  const message = encodeData(7, new Uint8Array(1_000));
  decodeMessage(
    message,
    Object.assign(new Collector(), {
      onData: (_: number, bytes: Uint8Array) => assert.equal(bytes.buffer, message.buffer),
    }),
  );
});

Deno.test("bounds and impossible frames have errors of their own", () => {
  const head = (streamId: number, type: number, length: number, payload = length) => {
    const message = new Uint8Array(FRAME_HEAD_BYTES + payload);
    const view = new DataView(message.buffer);
    view.setUint32(0, streamId);
    view.setUint32(4, type * 0x1000000 + length);
    return message;
  };
  const cases: [Uint8Array, LinkProtocolError["code"]][] = [
    [head(1, 0, 0), "unknown_type"],
    [head(1, 200, 0), "unknown_type"],
    // Refused by the head alone: nobody waits for what is announced.
    [head(1, 2, linkLimits.dataBytes + 1, 0), "too_large"],
    [head(1, 1, linkLimits.headerBytes + 1, 0), "too_large"],
    [head(1, 1, 1), "malformed"],
    [head(1, 3, 3), "malformed"],
    [head(1, 3, 5), "too_large"],
    [head(1, 4, 1), "too_large"],
    [head(0, 2, 5), "malformed"],
    [head(0, 1, 5), "malformed"],
    [head(0, 4, 0), "malformed"],
    [head(5, 6, 0), "malformed"],
    [head(1, 5, 0), "malformed"],
    [head(1, 2, 100, 99), "truncated"],
  ];
  for (const [message, code] of cases) {
    assert.throws(() => decode(message), (error) => error instanceof LinkProtocolError && error.code === code);
  }
  const reset = head(1, 5, 3);
  reset.set([resetCodes.length, 65, 65], FRAME_HEAD_BYTES);
  assert.throws(() => decode(reset), { code: "malformed" });
  reset.set([0, 0xc3, 0x28], FRAME_HEAD_BYTES);
  assert.throws(() => decode(reset), { code: "malformed" });
  assert.throws(() => encodeOpen(1, "x".repeat(linkLimits.headerBytes)), RangeError);
  const [[, , , message]] = decode(encodeReset(1, "internal", "ä".repeat(5_000))) as [[string, number, string, string]];
  assert.equal(message, "ä".repeat(512));
});
