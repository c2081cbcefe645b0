import assert from "node:assert/strict";
import { AgentStartError } from "./agent.ts";
import { AgentProcess, stderrTailChars } from "./process.ts";

const env = { PATH: Deno.env.get("PATH") ?? "" };

async function readAll(stream: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(stream).text();
}

Deno.test("closing stdin is enough for a polite program; the end of its stderr is kept", async () => {
  const process = new AgentProcess({
    command: ["sh", "-c", "seq 1 3000 >&2; cat"],
    cwd: "/",
    env,
  });
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode("hello"));
  const output = readAll(process.stdout);
  const exit = await process.stop();
  assert.equal(await output, "hello");
  assert.deepEqual([exit.code, exit.signal], [0, null]);
  assert.equal(exit.stderrTail.length, stderrTailChars);
  assert.match(exit.stderrTail, /2999\n3000\n$/);
});

Deno.test("a program that ignores stdin and SIGTERM is killed, with all that it started", async () => {
  const process = new AgentProcess({
    command: [
      "sh",
      "-c",
      "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done' & wait; wait; wait",
    ],
    cwd: "/",
    env,
    termAfterMs: 50,
    killAfterMs: 50,
  });
  const reader = process.stdout.getReader();
  await reader.read();
  assert.equal((await process.stop()).signal, "SIGKILL");
  // Its output ends only when nobody holds the pipe any more.
  while (!(await reader.read()).done) continue;
});

Deno.test("what cannot be started says why", () => {
  for (const command of [["/no/such/program"], []]) {
    assert.throws(() => new AgentProcess({ command, cwd: "/", env }), AgentStartError);
  }
});
