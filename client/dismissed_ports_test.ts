import assert from "node:assert/strict";
import { dismissedPorts, dismissPort } from "./dismissed_ports.ts";

function storeOf(items: Map<string, string>) {
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  };
}

Deno.test("dismissed ports are kept for their session alone", () => {
  const store = storeOf(new Map());
  assert.deepEqual(dismissPort(store, "a", 80), new Set([80]));
  assert.deepEqual(dismissPort(store, "a", 8_080), new Set([80, 8_080]));
  assert.deepEqual(dismissedPorts(store, "a"), new Set([80, 8_080]));
  assert.deepEqual(dismissedPorts(store, "b"), new Set());
});

Deno.test("what is no list of ports is none, and storage that is full costs only the keeping", () => {
  for (const text of ["", "{", "null", '["80"]', '{"0":80}']) {
    assert.deepEqual(dismissedPorts(storeOf(new Map([["perch.ports.a", text]])), "a"), new Set());
  }
  const full = {
    ...storeOf(new Map()),
    setItem: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
  };
  assert.deepEqual(dismissPort(full, "a", 80), new Set([80]));
});
