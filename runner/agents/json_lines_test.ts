import assert from "node:assert/strict";
import fc from "fast-check";
import { LineSplitter, LineTooLongError } from "./json_lines.ts";

Deno.test("lines survive any chunking; U+2028 and CR inside stay, CRLF and empty lines go", () => {
  const text = fc.array(fc.string({ unit: "binary" }).map((line) => line.replaceAll(/[\n\r]/g, "\u2028")), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(
      text,
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      fc.boolean(),
      (lines, cuts, isCrlf) => {
        const end = isCrlf ? "\r\n" : "\n";
        const bytes = new TextEncoder().encode(lines.map((line) => line + end).join(""));
        const splitter = new LineSplitter();
        const got: string[] = [];
        let place = 0;
        for (let at = 0; at < bytes.length;) {
          const length = cuts[place++ % cuts.length] ?? 1;
          got.push(...splitter.push(bytes.subarray(at, at + length)));
          at += length;
        }
        const decoded = lines.map((line) => new TextDecoder().decode(new TextEncoder().encode(line)));
        assert.deepEqual(got, decoded.filter((line) => line !== ""));
      },
    ),
  );
});

Deno.test("a line over the bound is an error that names it", () => {
  const splitter = new LineSplitter(10);
  assert.deepEqual(splitter.push(new TextEncoder().encode("123456789\n1234")), ["123456789"]);
  assert.throws(() => splitter.push(new TextEncoder().encode("5678901")), (error) => {
    assert.ok(error instanceof LineTooLongError);
    assert.match(error.message, /longer than 10 bytes/);
    return true;
  });
});
