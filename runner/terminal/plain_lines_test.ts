import assert from "node:assert/strict";
import fc from "fast-check";
import { droppableBytes, isPlain } from "./plain_lines.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("plain is text with simple line controls", () => {
  assert.ok(isPlain(bytes("a\tb\r\nc\b\r漢字🙂é")));
  for (const text of ["\x1b[m", "a\x07", "\x0e", "\x0f", "\u009b1m"]) {
    assert.ok(!isPlain(bytes(text)), JSON.stringify(text));
  }
});

Deno.test("a C1 control that is cut after its first byte is not plain", () => {
  assert.ok(!isPlain(Uint8Array.of(0x61, 0xc2)));
});

Deno.test("what is dropped ends with CR LF and leaves enough lines, however the text is cut", () => {
  const line = fc.constantFrom("a", "", "long ".repeat(20), "漢字");
  const end = fc.constantFrom("\r\n", "\n", "\r", "\r\r\n");
  const lines = fc.array(fc.tuple(line, end), { maxLength: 60 });
  fc.assert(
    fc.property(lines, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 90 }), (lines, kept, cut) => {
      const whole = bytes(lines.flat().join(""));
      const parts: Uint8Array[] = [];
      for (let at = 0; at < whole.length; at += cut) parts.push(whole.subarray(at, at + cut));
      const dropped = droppableBytes(parts, kept);
      assert.equal(dropped, whole.length === 0 ? 0 : droppableBytes([whole], kept));
      if (dropped === 0) return;
      assert.deepEqual([...whole.subarray(dropped - 2, dropped)], [13, 10]);
      assert.ok(whole.subarray(dropped).filter((byte) => byte === 10).length >= kept);
    }),
  );
  assert.equal(droppableBytes([bytes("x\r\n".repeat(10))], 4), 18);
});
