import assert from "node:assert/strict";
import fc from "fast-check";
import { appendOutput, clip, emptyOutput, grownBy, showOutput, takeEnd, takeStart } from "./tool_output.ts";

Deno.test("output keeps its beginning and end, counts what it cut, and never grows over the bound", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme", maxLength: 30 })),
      fc.integer({ min: 8, max: 60 }),
      (parts, max) => {
        const whole = parts.join("");
        const output = parts.reduce((sum, part) => appendOutput(sum, part, max), emptyOutput);
        assert.ok(output.head.length + output.tail.length <= max);
        assert.equal(output.head.length + output.cut + output.tail.length, whole.length);
        assert.ok(whole.startsWith(output.head) && whole.endsWith(output.tail));
        if (whole.length <= max) assert.equal(showOutput(output), whole);
        else assert.ok(output.cut > 0 && showOutput(output).includes(`${output.cut} characters cut`));
      },
    ),
  );
});

Deno.test("cuts never leave half of a surrogate pair", () => {
  assert.equal(takeStart("a😀", 2), "a");
  assert.equal(takeStart("a😀", 3), "a😀");
  assert.equal(takeEnd("😀a", 2), "a");
  assert.equal(takeEnd("😀a", 3), "😀a");
  assert.equal(clip("abcdef", 4), "abc…");
  assert.equal(clip("abcd", 4), "abcd");
});

Deno.test("what a text grew by, or that it is another text", () => {
  assert.equal(grownBy("one\n", "one\ntwo\n"), "two\n");
  assert.equal(grownBy("one", "one"), "");
  assert.equal(grownBy("one", "two"), null);
});
