import assert from "node:assert/strict";
import fc from "fast-check";
import { diffLines } from "./diff_lines.ts";

const text = fc.array(fc.constantFrom("a", "b", "c", "", "  d"), { maxLength: 30 }).map((lines) =>
  lines.join("\n") + "\n"
);

Deno.test("a diff's lines rebuild both sides around their numbers", () => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      const diff = diffLines(before, after);
      const oldLines = before.split("\n");
      const newLines = after.split("\n");
      for (const line of diff.hunks.flat()) {
        if (line.oldLine !== null) assert.equal(line.text, oldLines[line.oldLine - 1]);
        if (line.newLine !== null) assert.equal(line.text, newLines[line.newLine - 1]);
      }
      assert.equal(diff.added - diff.removed, newLines.length - oldLines.length);
    }),
  );
});

Deno.test("new and deleted files count whole", () => {
  assert.deepEqual([diffLines(null, "a\nb\n").added, diffLines(null, "a\nb\n").removed], [2, 0]);
  assert.deepEqual([diffLines("a\nb\n", null).added, diffLines("a\nb\n", null).removed], [0, 2]);
});

Deno.test("files that differ in everything are shown, not compared for ever", () => {
  const lines = (word: string) => Array.from({ length: 5_000 }, (_, at) => `${word} ${at}`).join("\n");
  const diff = diffLines(lines("old"), lines("new"));
  assert.equal(diff.isTooLarge, true);
  assert.ok(diff.hunks.flat().length > 0);
});
