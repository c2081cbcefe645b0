import assert from "node:assert/strict";
import fc from "fast-check";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import headless from "@xterm/headless";
import { screenBytes } from "./screen_bytes.ts";

type Terminal = InstanceType<typeof headless.Terminal>;

const size = { cols: 12, rows: 5 };
const extras = { margins: null, isCursorShown: true, cursorStyle: 0, mouseEncoding: null };

async function emulate(part: string | Uint8Array): Promise<Terminal> {
  const terminal = new headless.Terminal({ ...size, scrollback: 200, allowProposedApi: true });
  new Unicode11Addon().activate(terminal as unknown as Parameters<Unicode11Addon["activate"]>[0]);
  terminal.unicode.activeVersion = "11";
  await new Promise<void>((resolve) => terminal.write(part, resolve));
  return terminal;
}

/** Every cell of both buffers with its looks, where the cursor stands, and the modes. */
function shown({ buffer, modes }: Terminal): unknown {
  const { active, normal } = buffer;
  const linesOf = (one: typeof active) =>
    Array.from({ length: one.length }, (_, y) => {
      const line = one.getLine(y)!;
      const cells = Array.from({ length: line.length }, (_, x) => {
        const cell = line.getCell(x)!;
        const flags = [
          cell.isBold(),
          cell.isDim(),
          cell.isItalic(),
          cell.isUnderline(),
          cell.isBlink(),
          cell.isInverse(),
          cell.isInvisible(),
          cell.isStrikethrough(),
          cell.isOverline(),
        ].map((flag) => flag === 0 ? "-" : "+").join("");
        const fg = cell.isFgDefault() ? "" : `${cell.getFgColorMode()}:${cell.getFgColor()}`;
        const bg = cell.isBgDefault() ? "" : `${cell.getBgColorMode()}:${cell.getBgColor()}`;
        const neighbour = cell.getWidth() === 2 ? line.getCell(x + 1) : line.getCell(x - 1);
        // Half of a wide character is nothing.
        if (cell.getWidth() === 2 && neighbour?.getWidth() !== 0) return `1 ${bg}`;
        if (cell.getWidth() === 0) return neighbour?.getWidth() === 2 ? "half" : `1 ${bg}`;
        // Of a cell without a character, or with a blank, only its background shows.
        const isBlank = cell.getCode() === 0 || (cell.getChars() === " " && !/\+/.test(flags));
        return isBlank ? `${cell.getWidth()} ${bg}` : `${cell.getChars()} ${fg} ${bg} ${flags}`;
      });
      return cells.join("|");
    });
  return {
    type: active.type,
    active: linesOf(active),
    normal: linesOf(normal),
    x: active.cursorX,
    y: active.cursorY,
    ...modes,
  };
}

/** That the bytes rebuild what a text leaves, and that typing goes on as it would have. */
async function assertRebuilt(text: string): Promise<void> {
  const direct = await emulate(text);
  const rebuilt = await emulate(screenBytes(direct, extras));
  assert.deepEqual(shown(rebuilt), shown(direct), JSON.stringify(text));
  for (const terminal of [direct, rebuilt]) await new Promise<void>((done) => terminal.write("X漢Y", done));
  assert.deepEqual(shown(rebuilt), shown(direct), `${JSON.stringify(text)}, typed on`);
  direct.dispose();
  rebuilt.dispose();
}

Deno.test("screens are rebuilt cell by cell", async () => {
  const cases = [
    "",
    "one\r\ntwo\r\nthree",
    "x".repeat(12),
    "x".repeat(31),
    "漢".repeat(20),
    "a漢".repeat(14),
    "e\u0301 🙂 done\r\n".repeat(9),
    "\x1b[31mred\x1b[0m \x1b[1;94mbold\x1b[m\x1b[3;5H\x1b[38;5;9mx\x1b[48;2;1;2;3my",
    "\x1b[41mred ground\r\n".repeat(9),
    "\x1b[41mtext\x1b[K\x1b[0m\r\nnext\x1b[44m\x1b[J",
    "\x1b[45m\x1b[2J\x1b[3;3Hx",
    "\x1b[41mlong enough to wrap\x1b[0m twice or even more often\r\n\r\n\r\n\r\n\r\n",
    "xxxxxxxxxxxxxxxxxxxx\x1b[1;3H\x1b[K",
    "\x1b[3;9Hab\x1b[4mcd",
    "before\x1b[?1049h\x1b[2J\x1b[Hin the other\x1b[?2004h\x1b[?1h\x1b=\x1b[7m",
    "\x1b[?1002h\x1b[4h\x1b[?7l",
  ];
  for (const text of cases) await assertRebuilt(text);
});

Deno.test("whatever a program draws is rebuilt", async () => {
  const piece = fc.constantFrom(
    "a",
    "some words ",
    "漢",
    "🙂",
    "e\u0301",
    "\r\n",
    "\r\n\r\n\r\n",
    "\x1b[31m",
    "\x1b[42m",
    "\x1b[48;5;200;1;3m",
    "\x1b[7;9m",
    "\x1b[m",
    "\x1b[2J",
    "\x1b[J",
    "\x1b[1K",
    "\x1b[K",
    "\x1b[3X",
    "\x1b[2P",
    "\x1b[2@",
    "\x1b[L",
    "\x1b[M",
    "\x1b[H",
    "\x1b[3;11H",
    "\x1bM",
    "\t",
    "\b",
    "\x1b[?1049h",
    "\x1b[?1049l",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 50 }), async (pieces) => await assertRebuilt(pieces.join(""))),
    { numRuns: 300 },
  );
});

Deno.test("margins, origin, cursor and mouse encoding are in it", async () => {
  const terminal = await emulate("\x1b[2;4r\x1b[?6h\x1b[2;3Hx");
  const bytes = screenBytes(terminal, {
    margins: { top: 2, bottom: 4 },
    isCursorShown: false,
    cursorStyle: 5,
    mouseEncoding: 1006,
  });
  const text = new TextDecoder().decode(bytes);
  for (const part of ["\x1b[2;4r", "\x1b[?1006h", "\x1b[5 q", "\x1b[?25l"]) assert.ok(text.includes(part));
  assert.deepEqual(shown(await emulate(bytes)), shown(terminal));
});

Deno.test("10,000 lines are a megabyte, and no more is held for it", async () => {
  const terminal = new headless.Terminal({ cols: 80, rows: 24, scrollback: 10_000, allowProposedApi: true });
  const line = "0123456789".repeat(7);
  await new Promise<void>((done) => terminal.write(`${line}\r\n`.repeat(10_100), done));
  const bytes = screenBytes(terminal, extras);
  assert.ok(bytes.length < 10_024 * (line.length + 3));
  assert.ok(bytes.buffer.byteLength <= 2 * bytes.length);
  terminal.dispose();
});
