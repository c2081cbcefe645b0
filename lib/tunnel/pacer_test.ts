import assert from "node:assert/strict";
import fc from "fast-check";
import { Pacer } from "./pacer.ts";

Deno.test("in any time no more passes than the rate, 100 ms of burst, and one piece for each that takes part", () => {
  const piece = fc.integer({ min: 1, max: 65_536 });
  fc.assert(fc.property(
    fc.integer({ min: 1_024, max: 100_000_000 }),
    fc.array(fc.array(piece, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 5 }),
    (bytesPerS, streams) => {
      const pacer = new Pacer(bytesPerS, 0);
      // Each stream brings its next piece when the one before has passed, as a tunnel's requests do.
      const due = streams.map((pieces) => ({ atMs: 0, pieces: [...pieces] }));
      const passed: { atMs: number; bytes: number }[] = [];
      for (;;) {
        const next = due.filter(({ pieces }) => pieces.length > 0).sort((a, b) => a.atMs - b.atMs)[0];
        if (next === undefined) break;
        const bytes = next.pieces.shift()!;
        next.atMs += pacer.take(bytes, next.atMs);
        passed.push({ atMs: next.atMs, bytes });
      }
      const largest = Math.max(...streams.flat());
      for (const { atMs } of passed) {
        const sum = passed.filter((one) => one.atMs <= atMs).reduce((sum, { bytes }) => sum + bytes, 0);
        // Every wait is a whole number of ms.
        const allowed = bytesPerS * (atMs + 100 + 1) / 1_000 + largest * streams.length;
        assert.ok(sum <= allowed, `${sum} bytes after ${atMs} ms at ${bytesPerS} B/s`);
      }
      // Nor is it slower: the last piece waits for those before it and for nothing else.
      const all = streams.flat().reduce((sum, bytes) => sum + bytes, 0);
      const endMs = Math.max(...passed.map(({ atMs }) => atMs));
      assert.ok(endMs <= all / bytesPerS * 1_000 + passed.length, `${endMs} ms for ${all} bytes`);
    },
  ));
});

Deno.test("time that nobody used is not saved up beyond a tenth of a second", () => {
  const pacer = new Pacer(1_000, 0);
  assert.equal(pacer.take(100, 60_000), 0);
  assert.equal(pacer.take(1_000, 60_000), 0);
  assert.equal(pacer.take(1, 60_000), 1_000);
});

Deno.test("a piece of many seconds passes, and those after it wait for all of them", () => {
  const pacer = new Pacer(1_024, 0);
  assert.equal(pacer.take(64 * 1_024, 0), 0);
  assert.equal(pacer.take(1, 0), 63_900);
});
