import assert from "node:assert/strict";
import fc from "fast-check";
import { formatByteRate, formatBytes, parseByteRate } from "./byte_rate.ts";

Deno.test("rates are read as people write them, and what could be meant otherwise is not", () => {
  const cases: [string, number | null][] = [
    ["2 MB/s", 2_000_000],
    ["2MB", 2_000_000],
    [" 2 m ", 2_000_000],
    ["500 kB/s", 500_000],
    ["500KB/sec", 500_000],
    ["1.5 MiB/s", 1_572_864],
    ["1,5MBps", 1_500_000],
    ["800000", 800_000],
    ["800 B/s", 800],
    ["1 GB / s", 1_000_000_000],
    ["10 Mb/s", null],
    ["10 Mbit/s", null],
    ["", null],
    ["-1", null],
    ["fast", null],
    ["1e9", null],
    ["2 MB/min", null],
  ];
  for (const [text, expected] of cases) assert.equal(parseByteRate(text), expected, text);
});

Deno.test("amounts have three digits and a unit", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1 kB"],
    [12_340, "12.3 kB"],
    [999_499, "999 kB"],
    [999_500, "1 MB"],
    [2_000_000_000, "2 GB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
});

Deno.test("what is shown of a rate is read as that rate again, to half a percent", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 10_000_000_000 }), (bytesPerS) => {
    const again = parseByteRate(formatByteRate(bytesPerS));
    assert.ok(again !== null && Math.abs(again - bytesPerS) <= bytesPerS * 0.005);
  }));
});
