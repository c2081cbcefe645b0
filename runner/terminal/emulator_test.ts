import assert from "node:assert/strict";
import fc from "fast-check";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import headless from "@xterm/headless";
import { cleanText, Emulator, type EmulatorHandlers } from "./emulator.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const size = { cols: 40, rows: 6 };
const quiet: EmulatorHandlers = {
  onReply: () => {},
  onTitle: () => {},
  onBell: () => {},
  onNotification: () => {},
  onPressure: () => {},
  onDone: () => {},
};

/** What a terminal shows: every line, the cursor, which buffer, the modes. */
function shown(terminal: InstanceType<typeof headless.Terminal>): unknown {
  const { active } = terminal.buffer;
  const lines = Array.from({ length: active.length }, (_, y) => active.getLine(y)!.translateToString(true));
  return {
    lines: lines.join("\n").trimEnd(),
    x: active.cursorX,
    y: active.cursorY,
    type: active.type,
    ...terminal.modes,
  };
}

async function emulate(parts: readonly Uint8Array[], at = size): Promise<InstanceType<typeof headless.Terminal>> {
  const terminal = new headless.Terminal({ ...at, scrollback: 10_000, allowProposedApi: true });
  new Unicode11Addon().activate(terminal as unknown as Parameters<Unicode11Addon["activate"]>[0]);
  terminal.unicode.activeVersion = "11";
  for (const part of parts) await new Promise<void>((resolve) => terminal.write(part, resolve));
  return terminal;
}

async function viaSnapshot(text: string): Promise<{ direct: unknown; rebuilt: unknown; snapshot: string }> {
  const emulator = new Emulator(size, quiet);
  emulator.write(bytes(text));
  await emulator.idle();
  const snapshot = emulator.serialize();
  emulator.dispose();
  return {
    direct: shown(await emulate([bytes(text)])),
    rebuilt: shown(await emulate([snapshot])),
    snapshot: new TextDecoder().decode(snapshot),
  };
}

Deno.test("a snapshot rebuilds text, wrapped lines, wide characters, the other buffer and modes", async () => {
  const cases = [
    "one\r\ntwo\r\nthree",
    "x".repeat(95),
    "漢字かな交じり🙂 e\u0301 done\r\n".repeat(9),
    "\x1b[31mred\x1b[0m \x1b[1mbold\x1b[m\x1b[3;5H",
    "before\x1b[?1049h\x1b[2J\x1b[Hin the other\x1b[?2004h\x1b[?1h",
    "\x1b[?1002h\x1b[?1006hmouse",
  ];
  for (const text of cases) {
    const { direct, rebuilt } = await viaSnapshot(text);
    assert.deepEqual(rebuilt, direct, JSON.stringify(text));
  }
});

Deno.test("a snapshot keeps what the serialiser does not: cursor, mouse encoding, margins", async () => {
  const { snapshot } = await viaSnapshot("a\x1b[?25l\x1b[?1003h\x1b[?1006h\x1b[5 q\x1b[2;4r\x1b[3;2H");
  for (const part of ["\x1b[?25l", "\x1b[?1006h", "\x1b[5 q", "\x1b[2;4r\x1b[3;2H"]) {
    assert.ok(snapshot.includes(part), JSON.stringify(part));
  }
  assert.ok(!(await viaSnapshot("\x1b[?25l\x1b[?25h\x1b[?1006h\x1b[?1006l")).snapshot.includes("?"));
});

Deno.test("characters that are cut anywhere between two chunks stay whole", async () => {
  const whole = bytes("漢字🙂\x1b[32m緑\x1b[0m é\r\n👩 end");
  for (let at = 1; at < whole.length; at++) {
    const emulator = new Emulator(size, quiet);
    emulator.write(whole.slice(0, at));
    emulator.write(whole.slice(at));
    await emulator.idle();
    const parts = [whole];
    assert.deepEqual(shown(await emulate([emulator.serialize()])), shown(await emulate(parts)), `cut at ${at}`);
    emulator.dispose();
  }
});

Deno.test("a flood of plain lines leaves the same screen as if all of it had been parsed", async () => {
  const flood = (tail: string) => {
    const lines: string[] = [];
    for (let i = 0; i < 60_000; i++) lines.push(`${i} ${"漢x".repeat(i % 17)} the line that is number ${i}\t|`);
    return bytes(`\x1b[35m${lines.join("\r\n")}${tail}`);
  };
  for (const tail of ["\r\nlast", "\r\n\x1b[2;3r\x1b[1mlast", "\r\n"]) {
    const whole = flood(tail);
    let written = 0;
    let done = 0;
    const emulator = new Emulator(size, {
      ...quiet,
      onDone: (bytes) => {
        done++;
        // Whoever wrote it uses the memory for something else now.
        bytes.fill(0x58);
      },
    });
    for (let at = 0; at < whole.length; at += 4_093) {
      emulator.write(whole.slice(at, at + 4_093));
      written++;
      if (at % (4_093 * 64) === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await emulator.idle();
    assert.equal(done, written);
    assert.deepEqual(shown(await emulate([emulator.serialize()])), shown(await emulate([whole])), JSON.stringify(tail));
    emulator.dispose();
  }
});

Deno.test("pressure rises while too much waits, and falls again", async () => {
  const told: boolean[] = [];
  const emulator = new Emulator(size, { ...quiet, onPressure: (isTooMuch) => told.push(isTooMuch) });
  const colored = bytes("\x1b[31mx\x1b[0m\r\n".repeat(5_000));
  for (let sent = 0; sent < 6 * 1024 * 1024; sent += colored.length) emulator.write(colored);
  assert.deepEqual(told, [true]);
  await emulator.idle();
  assert.deepEqual(told, [true, false]);
  emulator.dispose();
});

Deno.test("questions of the program are answered once; titles, bells and notifications are told", async () => {
  const replies: string[] = [];
  const told: string[] = [];
  const emulator = new Emulator(size, {
    ...quiet,
    onReply: (data) => replies.push(data),
    onTitle: (title) => told.push(`title ${title}`),
    onBell: () => told.push("bell"),
    onNotification: (text) => told.push(`notice ${text}`),
  });
  emulator.write(
    bytes(
      "ab\x1b[6n\x1b[c\x1b]11;?\x07\x1b]2;a \u202etitle\x07\x07\x1b]9;done\x07\x1b]9;4;1;50\x07\x1b]777;notify;Agent;needs you\x07",
    ),
  );
  await emulator.idle();
  assert.deepEqual(replies, ["\x1b[1;3R", "\x1b[?1;2c", "\x1b]11;rgb:1010/1414/1212\x1b\\"]);
  assert.deepEqual(told, ["title a  title", "bell", "notice done", "notice Agent: needs you"]);
  emulator.dispose();
});

Deno.test("any bytes rebuild to the same text", async () => {
  const piece = fc.constantFrom(
    "a",
    "漢",
    "\r\n",
    "\x1b[31m",
    "\x1b[2J",
    "\x1b[H",
    "\x1b[3;3H",
    "\t",
    "\b",
    "wide 🙂 ",
    "\x1b[K",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (pieces) => {
      const { direct, rebuilt } = await viaSnapshot(pieces.join(""));
      const textOf = (value: unknown) => (value as { lines: string }).lines;
      assert.equal(textOf(rebuilt), textOf(direct));
    }),
    { numRuns: 60 },
  );
});

Deno.test("text for people has no control or hidden characters and a bound", () => {
  assert.equal(cleanText("\x1b]a\u202eb\u200b\n", 100), "]a b");
  assert.equal(cleanText("x".repeat(300), 256).length, 256);
});
