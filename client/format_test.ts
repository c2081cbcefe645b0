import assert from "node:assert/strict";
import { baseName, compactCount, duration, plainLine, relativePath, relativeTime, shortPath } from "./format.ts";

Deno.test("times read like a person would say them", () => {
  const now = 1_700_000_000_000;
  assert.equal(relativeTime(now + 5_000, now), "now");
  assert.equal(relativeTime(now - 59_999, now), "now");
  assert.equal(relativeTime(now - 60_000, now), "1 min");
  assert.equal(relativeTime(now - 7_200_000, now), "2 h");
  assert.equal(relativeTime(now - 3 * 86_400_000, now), "3 d");
  assert.equal(duration(430), "0.4 s");
  assert.equal(duration(4_200), "4 s");
  assert.equal(duration(59_900), "1 min");
  assert.equal(duration(72_000), "1 min 12 s");
  assert.equal(duration(7_500_000), "2 h 5 min");
});

Deno.test("counts and paths are short", () => {
  assert.equal(compactCount(940), "940");
  assert.equal(compactCount(12_345), "12.3k");
  assert.equal(compactCount(999_900), "1M");
  assert.equal(baseName("/home/ana/src/"), "src");
  assert.equal(baseName("C:\\src\\app"), "app");
  assert.equal(shortPath("/home/ana/src"), "~/src");
  assert.equal(shortPath("/homework"), "/homework");
  assert.equal(relativePath("/home/ana/src/a/b.ts", "/home/ana/src"), "a/b.ts");
  assert.equal(relativePath("/home/ana/src2/b.ts", "/home/ana/src"), "~/src2/b.ts");
});

Deno.test("a preview shows words, not marks", () => {
  assert.equal(plainLine("# A long answer"), "A long answer");
  assert.equal(plainLine("I am a **demo**: run `deno test` in __here__"), "I am a demo: run deno test in here");
  assert.equal(plainLine("- 2 * 3 ** 4 and a_b_c"), "2 * 3 ** 4 and a_b_c");
});
