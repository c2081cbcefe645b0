import assert from "node:assert/strict";
import fc from "fast-check";
import { CHUNK_BYTES, ChunkPool, OutputBatch } from "./output_batch.ts";

Deno.test("output arrives in order, in chunks of bounded size, whoever gives its buffers back when", () => {
  const reads = fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 2 * CHUNK_BYTES }), flush: fc.boolean() }), {
    maxLength: 30,
  });
  fc.assert(fc.property(reads, fc.integer({ min: 0, max: 3 }), (reads, keptChunks) => {
    const pool = new ChunkPool();
    const held: Uint8Array[] = [];
    let expected = 0;
    const read = () => {
      const bytes = held.shift()!;
      assert.ok(bytes.length > 0);
      for (const byte of bytes) assert.equal(byte, expected++ % 251);
      pool.give(bytes);
    };
    using batch = new OutputBatch(pool, (bytes) => {
      held.push(bytes);
      while (held.length > keptChunks) read();
    });
    let written = 0;
    for (const { bytes, flush } of reads) {
      const part = Uint8Array.from({ length: bytes }, () => written++ % 251);
      if (bytes > 0) batch.add(part);
      // The memory of a read is given back after it.
      part.fill(0xff);
      if (flush) batch.flush();
    }
    batch.flush();
    assert.ok(batch.isEmpty);
    while (held.length > 0) read();
    assert.equal(expected, written);
  }));
});

Deno.test("a buffer is used again once it was given back, and small output does not keep one", () => {
  const pool = new ChunkPool();
  const chunk = pool.take();
  pool.give(chunk.subarray(3, 9));
  assert.equal(pool.take().buffer, chunk.buffer);
  const passed: Uint8Array[] = [];
  using batch = new OutputBatch(pool, (bytes) => passed.push(bytes));
  batch.add(Uint8Array.of(1));
  batch.add(Uint8Array.of(2));
  batch.flush();
  assert.deepEqual(passed.map((bytes) => [...bytes]), [[1], [2]]);
  assert.ok(passed.every(({ buffer }) => buffer.byteLength === 1));
});
