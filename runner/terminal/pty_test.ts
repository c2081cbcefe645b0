import assert from "node:assert/strict";
import { within } from "@/tests/support/patience.ts";
import { Pty } from "./pty.ts";

Deno.test("pty - a program that reads late gets all of its input, in order", async () => {
  const ended = Promise.withResolvers<number>();
  const listening = Promise.withResolvers<void>();
  const path = await Deno.makeTempFile();
  let output = "";
  const pty = new Pty({
    // Quiet while it reads: output would hide that nothing else makes the rest of the input move.
    command: ["/bin/sh", "-c", 'stty -echo; echo listening; read -r first; head -c 399920 > "$0"', path],
    cwd: "/tmp",
    env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
    cols: 80,
    rows: 24,
    onOutput(bytes) {
      output += new TextDecoder().decode(bytes);
      if (output.includes("listening")) listening.resolve();
    },
    onExit: ({ code }) => ended.resolve(code),
  });
  await within(listening.promise, "its start");
  const lines = Array.from({ length: 5_000 }, (_, i) => `${i}`.padStart(79, ".") + "\n");
  for (const line of lines) pty.write(new TextEncoder().encode(line));
  await within(pty.writable(), "room for more input");
  assert.equal(await within(ended.promise, "its end"), 0);
  assert.equal(await Deno.readTextFile(path), lines.slice(1).join(""));
  await Deno.remove(path);
});
