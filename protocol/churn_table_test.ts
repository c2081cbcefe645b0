import assert from "node:assert/strict";
import fc from "fast-check";
import { ChurnTable } from "./churn_table.ts";

Deno.test("a table is what a Map with its keys in order is", () => {
  const step = fc.record({
    do: fc.constantFrom("set", "delete", "get"),
    key: fc.constantFrom(1, 2, 3, 77, 0xffffffff),
  });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const table = new ChurnTable<number>();
    const map = new Map<number, number>();
    steps.forEach(({ do: what, key }, at) => {
      if (what === "set") {
        table.set(key, at);
        map.set(key, at);
      } else if (what === "delete") assert.equal(table.delete(key), map.delete(key));
      assert.deepEqual([table.get(key), table.has(key), table.size], [map.get(key), map.has(key), map.size]);
    });
    assert.deepEqual(table.values(), [...map].sort(([a], [b]) => a - b).map(([, value]) => value));
  }));
});

Deno.test("what is added gets the next key", () => {
  const table = new ChurnTable<string>();
  const [a, b] = [table.add("a"), table.add("b")];
  table.delete(a);
  const c = table.add("c");
  assert.deepEqual([a, b, c, table.values()], [1, 2, 3, ["b", "c"]]);
});
