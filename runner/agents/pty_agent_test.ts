import assert from "node:assert/strict";
import fc from "fast-check";
import { pastedText } from "../terminal/pasted_text.ts";
import { commandTitle, shownCommand } from "./pty_agent.ts";

Deno.test("a command as a line, and as a title", () => {
  assert.equal(shownCommand(["a", "b c", "it's", ""]), "a 'b c' 'it'\\''s' ''");
  assert.equal(commandTitle(["/usr/bin/aider", "--model", "x y"]), "aider --model 'x y'");
});

Deno.test("pasted text holds no control character of its own", () => {
  assert.equal(pastedText("a\r\nb\n\tc\x1b[201~\x03", false), "a\rb\r\tc[201~");
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const pasted = pastedText(text, true);
    const inside = pasted.slice("\x1b[200~".length, -"\x1b[201~".length);
    // deno-lint-ignore no-control-regex -- these are what must not be there
    assert.doesNotMatch(inside, /[\u0000-\u0008\u000a-\u000c\u000e-\u001f\u007f-\u009f]/);
  }));
});
