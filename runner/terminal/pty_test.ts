import assert from "node:assert/strict";
import { eventually, within } from "@/tests/support/patience.ts";
import { isAlive } from "@/tests/support/child.ts";
import { Pty } from "./pty.ts";

/** Read between two turns of the event loop, at most: a turn's bound in either half, and what one read gives. */
const MOST_BYTES = 2 * 1024 * 1024 + 256 * 1024;

/** Keeps the terminal open after the program's end; the last thing printed is its pid. */
const leftover = "trap '' HUP; sleep 1000 & echo pid $!";

/** A program on a pty, all that it printed, and its end. */
function run(script: string): { pty: Pty; text(): string; end: Promise<{ code: number; signal: number | null }> } {
  const parts: Uint8Array[] = [];
  const end = Promise.withResolvers<{ code: number; signal: number | null }>();
  const pty = new Pty({
    cols: 80,
    rows: 24,
    command: ["/bin/sh", "-c", script],
    cwd: "/",
    env: Deno.env.toObject(),
    onOutput: (bytes) => parts.push(bytes.slice()),
    onExit: end.resolve,
  });
  const text = () => parts.map((bytes) => new TextDecoder().decode(bytes)).join("");
  return { pty, text, end: end.promise };
}

/** Ends what a program left behind. */
function endLeftover(text: string): void {
  const pid = Number(/pid (\d+)/.exec(text)![1]);
  if (isAlive(pid)) Deno.kill(pid, "SIGKILL");
}

Deno.test("what a program printed before its end is read, however long reading was paused", async () => {
  // Less than the kernel keeps of what is not read: the program ends although nobody reads.
  const { pty, text, end } = run("i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done; printf 'the last line'");
  pty.pause();
  await eventually(() => !isAlive(pty.pid), "the program's end");
  // Each of these ends only after the 200 ms that node-pty gives a stream after the program's end.
  for (let i = 0; i < 2; i++) {
    const later = run(leftover);
    await later.end;
    endLeftover(later.text());
  }
  assert.equal(text(), "");
  pty.resume();
  assert.deepEqual(await end, { code: 0, signal: null });
  assert.match(text(), /^line 0\r\n[^]*line 39\r\nthe last line$/);
});

Deno.test("a program's end is told although something that it left behind keeps its terminal, even while that prints", async () => {
  const quiet = run(`echo before; ${leftover}; exit 3`);
  assert.deepEqual(await quiet.end, { code: 3, signal: null });
  endLeftover(quiet.text());
  const loud = run("trap '' HUP; while echo again; do sleep 0.02; done & echo pid $!; exit 4");
  assert.deepEqual(await loud.end, { code: 4, signal: null });
  endLeftover(loud.text());
});

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

Deno.test("a flood leaves others their turns", async () => {
  let bytes = 0;
  let mostBytes = 0;
  let total = 0;
  let timer: ReturnType<typeof setTimeout>;
  const turn = () => {
    mostBytes = Math.max(mostBytes, bytes);
    bytes = 0;
    timer = setTimeout(turn, 0);
  };
  timer = setTimeout(turn, 0);
  const ended = Promise.withResolvers<void>();
  new Pty({
    cols: 80,
    rows: 24,
    command: ["/bin/sh", "-c", "head -c 60000000 /dev/zero | tr '\\0' x"],
    cwd: "/",
    env: Deno.env.toObject(),
    onOutput: ({ length }) => {
      bytes += length;
      total += length;
    },
    onExit: () => ended.resolve(),
  });
  await within(ended.promise, "its end");
  clearTimeout(timer);
  assert.equal(total, 60_000_000);
  assert.ok(mostBytes <= MOST_BYTES, `${mostBytes} bytes in one turn`);
});
