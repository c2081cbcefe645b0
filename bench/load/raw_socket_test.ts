import assert from "node:assert/strict";
import { FrameParser } from "./raw_socket.ts";

Deno.test("the raw client finds payloads however the bytes are cut", () => {
  const texts = ["a", "b".repeat(200), "", "c".repeat(70_000)];
  const frames: number[] = [];
  for (const value of texts) {
    const { length } = value;
    const head = length < 126
      ? [length]
      : length < 65_536
      ? [126, length >> 8, length & 255]
      : [127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
    frames.push(0x81, ...head, ...new TextEncoder().encode(value));
  }
  const bytes = new Uint8Array(frames);
  for (const step of [1, 2, 3, 7, 1_000, bytes.length]) {
    const found: string[] = [];
    let current = "";
    const parser = new FrameParser((part, start, end, isEnd) => {
      current += new TextDecoder().decode(part.subarray(start, end));
      if (isEnd) found.push(current);
      if (isEnd) current = "";
    });
    for (let at = 0; at < bytes.length; at += step) {
      const part = bytes.subarray(at, at + step);
      parser.push(part, part.length);
    }
    assert.deepEqual(found, texts.filter((value) => value !== ""));
  }
});
