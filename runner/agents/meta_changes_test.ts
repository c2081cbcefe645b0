import assert from "node:assert/strict";
import { initialMeta } from "@/protocol/mod.ts";
import { changedFields } from "./meta_changes.ts";

Deno.test("only what differs is left", () => {
  const meta = { ...initialMeta(), commands: [{ name: "a" }], usage: { contextTokens: 1 } };
  assert.deepEqual(changedFields(meta, { commands: [{ name: "a" }], usage: { contextTokens: 2 }, retry: null }), {
    usage: { contextTokens: 2 },
  });
  assert.deepEqual(changedFields(meta, {}), {});
});
