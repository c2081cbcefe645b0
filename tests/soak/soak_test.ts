/** The soak runs in a process of its own, in which garbage can be collected on demand. */
import assert from "node:assert/strict";
import { join } from "node:path";

Deno.test("24 hours on a fast clock: memory is flat, no key, timer, watch or socket is left", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--v8-flags=--expose-gc", join(import.meta.dirname!, "day.ts")],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout);
  console.log(text.split("\n").filter((line) => /SOAK_SEED|samples/.test(line)).join("\n"));
  assert.equal(code, 0, `${text}\n${decoder.decode(stderr)}`);
});
