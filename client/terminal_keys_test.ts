import assert from "node:assert/strict";
import { arrowBytes, modified } from "./terminal_keys.ts";

const none = { ctrl: false, alt: false };

Deno.test("arrows follow the cursor key mode and modifiers", () => {
  assert.equal(arrowBytes("up", false, none), "\x1b[A");
  assert.equal(arrowBytes("left", true, none), "\x1bOD");
  assert.equal(arrowBytes("right", true, { ctrl: true, alt: false }), "\x1b[1;5C");
  assert.equal(arrowBytes("down", false, { ctrl: true, alt: true }), "\x1b[1;7B");
});

Deno.test("armed Ctrl and Alt change the next character alone", () => {
  const ctrl = { ctrl: true, alt: false };
  assert.equal(modified("c", ctrl), "\x03");
  assert.equal(modified("C", ctrl), "\x03");
  assert.equal(modified("[", ctrl), "\x1b");
  assert.equal(modified(" ", ctrl), "\x00");
  assert.equal(modified("abc", ctrl), "\x01bc");
  assert.equal(modified("x", { ctrl: false, alt: true }), "\x1bx");
  assert.equal(modified("漢", ctrl), "漢");
  assert.equal(modified("\x1b[A", ctrl), "\x1b[A");
});
