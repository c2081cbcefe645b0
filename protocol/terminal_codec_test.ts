import assert from "node:assert/strict";
import fc from "fast-check";
import {
  encodeCount,
  encodeJson,
  encodeMessage,
  MessageDecoder,
  readCount,
  readJson,
  TerminalProtocolError,
} from "./terminal_codec.ts";
import { TerminalSize } from "./terminal.ts";

const message = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 300 }));

Deno.test("messages come out as they went in, wherever the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 50 })), (messages, cuts) => {
      const whole = new Uint8Array(messages.flatMap(([type, payload]) => [...encodeMessage(type, payload)]));
      const decoder = new MessageDecoder(300);
      const found: [number, number[]][] = [];
      for (let at = 0, i = 0; at < whole.length; i++) {
        const next = at + (cuts.length === 0 ? whole.length : cuts[i % cuts.length]!);
        for (const { type, payload } of decoder.push(whole.slice(at, next))) found.push([type, [...payload]]);
        at = next;
      }
      assert.deepEqual(found, messages.map(([type, payload]) => [type, [...payload]]));
    }),
  );
});

Deno.test("any bytes are either messages within the bound or an error, never more memory", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
    try {
      for (const { payload } of new MessageDecoder(100).push(bytes)) assert.ok(payload.length <= 100);
    } catch (error) {
      assert.ok(error instanceof TerminalProtocolError);
    }
  }));
});

Deno.test("what is wrong with a payload is named", () => {
  const [size] = new MessageDecoder(1_000).push(encodeJson(17, { cols: 1, rows: 20 }));
  assert.throws(() => readJson(TerminalSize, size!), /message type 17: cols/);
  const [text] = new MessageDecoder(1_000).push(encodeMessage(17, new Uint8Array([1])));
  assert.throws(() => readJson(TerminalSize, text!), /not JSON/);
  assert.throws(() => readCount(text!), /must be 4 bytes, it is 1/);
  const [count] = new MessageDecoder(1_000).push(encodeCount(18, 4_000_000_000));
  assert.equal(readCount(count!), 4_000_000_000);
  assert.throws(
    () => [...new MessageDecoder(10).push(encodeMessage(1, new Uint8Array(11)))],
    /11 bytes is over the limit of 10/,
  );
});
