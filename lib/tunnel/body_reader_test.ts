import assert from "node:assert/strict";
import { readerOf } from "./body_reader.ts";

Deno.test("a body is read whole, from byte streams and from others, whatever its length is said to be", async () => {
  const total = 700_000;
  for (const type of ["bytes", undefined] as const) {
    for (const length of [null, "0", String(total)]) {
      let sent = 0;
      const pull = (controller: ReadableByteStreamController | ReadableStreamDefaultController<Uint8Array>) => {
        const piece = Uint8Array.from({ length: Math.min(90_001, total - sent) }, (_, at) => (sent + at) & 0xff);
        sent += piece.length;
        controller.enqueue(piece);
        if (sent === total) controller.close();
      };
      const body = type === "bytes" ? new ReadableStream({ type, pull }) : new ReadableStream({ pull });
      const reader = readerOf(body as ReadableStream<Uint8Array<ArrayBuffer>>, length);
      let got = 0;
      for (let piece = await reader.read(); piece !== null; piece = await reader.read()) {
        for (const byte of piece) assert.equal(byte, got++ & 0xff);
      }
      assert.equal(got, total);
    }
  }
});

Deno.test("what is left can be given up", async () => {
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => controller.enqueue(new Uint8Array(9)),
    cancel: () => void (isCancelled = true),
  });
  const reader = readerOf(body, null);
  assert.equal((await reader.read())?.length, 9);
  await reader.cancel();
  assert.ok(isCancelled);
});
