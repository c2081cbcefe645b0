import assert from "node:assert/strict";
import fc from "fast-check";
import { Outbox, OUTBOX_MAX, type TextStore } from "./outbox.ts";

function memoryStore(): TextStore {
  const values = new Map<string, string>();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}
const prompt = (text: string) => ({ kind: "prompt", text, delivery: "prompt" }) as const;

/** A hub that stores each op once, as the real one does, and remembers their order. */
class FakeHub {
  stored = new Map<string, string>();
  accept(op: string, text: string): void {
    if (!this.stored.has(op)) this.stored.set(op, text);
  }
}

Deno.test("whatever breaks and reloads happen, each command reaches the hub once and in order", () => {
  const step = fc.constantFrom("type", "send", "send_lost_receipt", "reload");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const store = memoryStore();
      const hub = new FakeHub();
      let outbox = new Outbox(store);
      const typed: string[] = [];
      for (const what of [...steps, "send"]) {
        if (what === "type") {
          typed.push(`text ${typed.length}`);
          outbox.add("s", prompt(typed.at(-1)!), `op-${typed.length}`);
        } else if (what === "reload") outbox = new Outbox(store);
        else {
          for (const item of outbox.unsent()) {
            assert.equal(item.command.kind, "prompt");
            hub.accept(item.op, item.command.kind === "prompt" ? item.command.text : "");
            if (what === "send") outbox.receipt({ op: item.op, status: "accepted" });
          }
        }
      }
      assert.deepEqual([...hub.stored.values()], typed);
      assert.deepEqual(outbox.unsent(), []);
    }),
  );
});

Deno.test("a receipt counts once, a final one is not taken back", () => {
  const outbox = new Outbox(null);
  const op = outbox.add("s", prompt("hi"));
  assert.equal(outbox.receipt({ op, status: "accepted" })?.status, "accepted");
  assert.equal(outbox.receipt({ op, status: "accepted" }), null);
  assert.equal(outbox.receipt({ op, status: "rejected", reason: "no model" })?.reason, "no model");
  assert.equal(outbox.receipt({ op, status: "applied" }), null);
  assert.equal(outbox.receipt({ op: "other", status: "applied" }), null);
});

Deno.test("a full outbox refuses instead of dropping", () => {
  const outbox = new Outbox(memoryStore());
  for (let i = 0; i < OUTBOX_MAX; i++) outbox.add("s", prompt("x"));
  assert.throws(() => outbox.add("s", prompt("x")), RangeError);
});

Deno.test("storage that throws or holds rubbish costs nothing", () => {
  const broken: TextStore = {
    getItem: () => "{]",
    setItem: () => {
      throw new Error("quota");
    },
    removeItem: () => {
      throw new Error("denied");
    },
  };
  const outbox = new Outbox(broken);
  const op = outbox.add("s", prompt("hi"));
  outbox.forget(op);
  assert.deepEqual(outbox.items, []);
});
