import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeJson, dropBlob, encodeJson, inlineBytes, pack, readPacked } from "./packed.ts";

const blobKey = (blob: string, part?: number) => part === undefined ? ["blob", blob] : ["blob", blob, part];

Deno.test("values of any size read back as they were and leave nothing when dropped", async () => {
  using kv = await Deno.openKv(":memory:");
  await fc.assert(
    fc.asyncProperty(fc.constantFrom("x", "ü", "🙂"), fc.nat(200_000), async (char, length) => {
      const value = { text: char.repeat(length) };
      const { value: packed, ref, parts } = pack(encodeJson(value), blobKey, "x");
      const atomic = kv.atomic().set(["row"], packed);
      for (const part of parts.splice(0, 5)) atomic.mutate(part);
      await atomic.commit();
      for (const part of parts) if (part.type === "set") await kv.set(part.key, part.value);
      assert.deepEqual(await readPacked(kv, ["row"], blobKey), value);
      if (ref) await kv.atomic().mutate(...dropBlob(ref, blobKey)).commit();
      for await (const { key } of kv.list({ prefix: ["blob"] })) assert.fail(`left ${key.join("/")}`);
    }),
    { numRuns: 25 },
  );
});

Deno.test("the inline bound is in bytes of UTF-8", () => {
  assert.equal(pack(new Uint8Array(inlineBytes), blobKey, "x").parts.length, 0);
  assert.equal(pack(new Uint8Array(inlineBytes + 1), blobKey, "x").parts.length, 2);
  assert.deepEqual(decodeJson(encodeJson({ a: "ü" })), { a: "ü" });
});
