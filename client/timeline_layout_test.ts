import assert from "node:assert/strict";
import fc from "fast-check";
import { TimelineLayout } from "./timeline_layout.ts";

const estimate = (index: number) => 40 + (index % 3) * 10;

/** The same by plain addition. */
function naiveTop(sizes: Map<number, number>, first: number, index: number): number {
  let top = 0;
  for (let at = first; at < index; at++) top += sizes.get(at) ?? estimate(at);
  return top;
}

const step = fc.oneof(
  fc.record({ kind: fc.constant("measure" as const), at: fc.nat(60), height: fc.integer({ min: 1, max: 900 }) }),
  fc.record({ kind: fc.constant("older" as const), count: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ kind: fc.constant("newer" as const), count: fc.integer({ min: 1, max: 20 }) }),
);

Deno.test("tops equal plain addition, and an anchor holds through growth at both ends and every measurement", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(4_000), (steps, scrolledTo) => {
      const layout = new TimelineLayout(estimate);
      const sizes = new Map<number, number>();
      let first = 500;
      let count = 40;
      layout.setRange(first, count);
      const anchor = layout.anchorAt(Math.min(scrolledTo, layout.totalHeight - 1))!;
      for (const what of steps) {
        if (what.kind === "older") {
          first -= what.count;
          count += what.count;
        } else if (what.kind === "newer") count += what.count;
        else {
          const index = first + (what.at % count);
          layout.measured(index, what.height);
          sizes.set(index, what.height);
        }
        layout.setRange(first, count);
        const top = layout.topFor(anchor);
        assert.equal(top - layout.topOf(anchor.index), Math.max(anchor.offset, -layout.topOf(anchor.index)));
      }
      for (let index = first; index <= first + count; index += 7) {
        assert.equal(layout.topOf(index), naiveTop(sizes, first, index));
      }
      const y = scrolledTo % layout.totalHeight;
      const found = layout.indexAt(y)!;
      assert.ok(layout.topOf(found) <= y && y < layout.topOf(found + 1));
    }),
  );
});

Deno.test("five thousand entries put only a window of them on the page", () => {
  const layout = new TimelineLayout(() => 50);
  layout.setRange(0, 5_000);
  const window = layout.visible(100_000, 800, 400)!;
  assert.deepEqual(window, { first: 1_992, last: 2_024 });
  assert.equal(new TimelineLayout(() => 50).visible(0, 800, 0), undefined);
});
