import assert from "node:assert/strict";
import fc from "fast-check";
import { splitCommandLine } from "./command_line.ts";

Deno.test("splits as a shell would", () => {
  assert.deepEqual(splitCommandLine("npx -y my-agent --acp"), ["npx", "-y", "my-agent", "--acp"]);
  assert.deepEqual(splitCommandLine(`a 'b c' "d \\" e" f\\ g ''`), ["a", "b c", 'd " e', "f g", ""]);
  assert.deepEqual(splitCommandLine("   "), []);
  assert.throws(() => splitCommandLine("a 'b"), SyntaxError);
});

Deno.test("quoted words come back as they were", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      const line = words.map((word) => `'${word.replaceAll("'", `'"'"'`)}'`).join(" ");
      assert.deepEqual(splitCommandLine(line), words);
    }),
  );
});
