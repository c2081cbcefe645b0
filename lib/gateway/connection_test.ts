import assert from "node:assert/strict";
import fc from "fast-check";
import { limits } from "@/protocol/mod.ts";
import { type FrameText, joinFrames } from "./connection.ts";

Deno.test("joined frames hold every message once, in order, within the bounds of a frame", () => {
  const message = fc.record({ type: fc.constant("event"), seq: fc.nat(), text: fc.string() });
  const frame = fc.oneof(
    message.map((value): FrameText => ({ text: JSON.stringify(value), count: 1 })),
    fc.array(message, { minLength: 1, maxLength: 700 }).map((values): FrameText => ({
      text: JSON.stringify(values),
      count: values.length,
    })),
  );
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 12 }), (frames) => {
      const joined = joinFrames(frames);
      const messagesOf = ({ text }: FrameText) => [JSON.parse(text)].flat();
      assert.deepEqual(joined.flatMap(messagesOf), frames.flatMap(messagesOf));
      for (const { text, count } of joined) {
        assert.equal(messagesOf({ text, count }).length, count);
        assert.ok(count <= limits.messagesPerFrame);
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("a single frame is passed on as it is", () => {
  const frame = { text: '{"type":"ping"}', count: 1 };
  assert.deepEqual(joinFrames([frame]), [frame]);
});

Deno.test("large frames are not joined beyond the size of a batch", () => {
  const frame = { text: JSON.stringify({ type: "event", text: "x".repeat(700_000) }), count: 1 };
  assert.equal(joinFrames([frame, frame, frame]).length, 3);
});
