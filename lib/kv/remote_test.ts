import assert from "node:assert/strict";
import { joinConnections } from "./remote.ts";

/** What a wrapped KV asks of the one below it. */
function watched(kv: Deno.Kv, name: string, calls: string[], answer?: Promise<void>): Deno.Kv {
  return new Proxy(kv, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        calls.push(`${name} ${String(property)} ${JSON.stringify(args[0] ?? null)}`);
        if (property === "getMany") await answer;
        return member.apply(target, args);
      };
    },
  });
}

Deno.test("a read that waits is helped by tiny ones, a bounded number of them", async () => {
  using below = await Deno.openKv(":memory:");
  const calls: string[] = [];
  const { promise: answer, resolve } = Promise.withResolvers<void>();
  const kv = joinConnections(watched(below, "reading", calls, answer), below);
  const reading = kv.getMany([["a"], ["b"]]);
  const nudges = () => calls.filter((call) => call === 'reading get ["nudge"]').length;
  while (nudges() < 7) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(nudges(), 7, "then it waits in silence");
  resolve();
  assert.equal((await reading).length, 2);
});

Deno.test("watches have their own connection; everything else works as it is", async () => {
  const reading = await Deno.openKv(":memory:");
  const watching = await Deno.openKv(":memory:");
  const kv = joinConnections(reading, watching);
  await kv.set(["a"], 1);
  await kv.atomic().set(["b"], 2).commit();
  assert.equal((await kv.get(["a"])).value, 1);
  const values = [];
  for await (const { value } of kv.list({ prefix: [] })) values.push(value);
  assert.deepEqual(values, [1, 2]);
  await watching.set(["a"], "watched");
  const changes = kv.watch([["a"]]).getReader();
  assert.equal((await changes.read()).value?.[0].value, "watched");
  await changes.cancel();
  kv.close();
  assert.throws(() => watching.close());
  await assert.rejects(reading.get(["a"]));
});
