import assert from "node:assert/strict";
import fc from "fast-check";
import { linesOf, readBlocks } from "./markdown_blocks.ts";
import { type Inline, plainText, readInlines } from "./markdown_inlines.ts";

const blocks = (text: string) => readBlocks(linesOf(text)).map(({ raw: _, ...block }) => block);

/** Inlines as a compact text: *em*, **strong**, `code`, <href|link>. */
const spell = (inlines: readonly Inline[]): string =>
  inlines.map((inline) => {
    switch (inline.type) {
      case "text":
        return inline.text;
      case "code":
        return `\`${inline.text}\``;
      case "break":
        return "⏎";
      case "em":
        return `em(${spell(inline.inlines)})`;
      case "strong":
        return `strong(${spell(inline.inlines)})`;
      case "del":
        return `del(${spell(inline.inlines)})`;
      case "link":
        return `<${inline.href}|${spell(inline.inlines)}>`;
      case "image":
        return `<img ${inline.href}|${inline.text}>`;
    }
  }).join("");
const inline = (text: string) => spell(readInlines(text));

Deno.test("emphasis pairs as CommonMark pairs it", () => {
  assert.equal(inline("a **b** *c* ~~d~~ `e*`"), "a strong(b) em(c) del(d) `e*`");
  assert.equal(inline("***a***"), "em(strong(a))");
  assert.equal(inline("**a *b* c**"), "strong(a em(b) c)");
  assert.equal(inline("snake_case_name and 2 * 3 * 4"), "snake_case_name and 2 * 3 * 4");
  assert.equal(inline("_a_ __b__"), "em(a) strong(b)");
  assert.equal(inline("**bold without end"), "**bold without end");
  assert.equal(inline("**`code`**:"), "strong(`code`):");
  assert.equal(inline("\\*not\\*"), "*not*");
});

Deno.test("code spans, links and addresses", () => {
  assert.equal(inline("``a ` b`` `c"), "`a ` b` `c");
  assert.equal(inline('[a *b*](https://x.example/q?a=(1) "t").'), "<https://x.example/q?a=(1)|a em(b)>.");
  assert.equal(inline("![alt](https://x.example/i.png)"), "<img https://x.example/i.png|alt>");
  assert.equal(
    inline("see https://x.example/a_b_c. Or (https://y.example)"),
    "see <https://x.example/a_b_c|https://x.example/a_b_c>. Or (<https://y.example|https://y.example>)",
  );
  assert.equal(inline("<https://x.example> [a] [b](c"), "<https://x.example|https://x.example> [a] [b](c");
  assert.equal(
    inline("[[a](https://x.example)](https://y.example)"),
    "[<https://x.example|a>](<https://y.example|https://y.example>)",
  );
  assert.equal(inline("a &amp; b &lt; &unknown; &#65;"), "a & b < &unknown; A");
  assert.equal(inline("one  \ntwo\nthree\\\nfour"), "one⏎two\nthree⏎four");
});

Deno.test("blocks of what agents write", () => {
  assert.deepEqual(blocks("# A #\ntext\nmore\n\n---\n> q\nlazy\n"), [
    { type: "heading", level: 1, text: "A" },
    { type: "paragraph", text: "text\nmore" },
    { type: "rule" },
    { type: "quote", lines: ["q", "lazy"] },
  ]);
  assert.deepEqual(blocks("```ts title\n  a\n\n```\n    code\n"), [
    { type: "code", language: "ts title", text: "  a\n" },
    { type: "code", language: "", text: "code" },
  ]);
  assert.deepEqual(blocks("````md\n```ts\n```\n````"), [{ type: "code", language: "md", text: "```ts\n```" }]);
  assert.deepEqual(blocks("still ```` open\n```js\nlet a"), [
    { type: "paragraph", text: "still ```` open" },
    { type: "code", language: "js", text: "let a" },
  ]);
  assert.deepEqual(blocks("| a | b |\n|---|:-:|\n| `x|y` | 1 |\n| 2 |\n\nend"), [
    { type: "table", align: [null, "center"], header: ["a", "b"], rows: [["`x|y`", "1"], ["2", ""]] },
    { type: "paragraph", text: "end" },
  ]);
  assert.deepEqual(blocks("Title\n====="), [{ type: "heading", level: 1, text: "Title" }]);
});

Deno.test("lists nest, number, tick and stay tight", () => {
  assert.deepEqual(blocks("- [x] a\n- [ ] b\n  more\n  - c\n"), [{
    type: "list",
    start: null,
    isLoose: false,
    items: [{ isDone: true, lines: ["a"] }, { isDone: false, lines: ["b", "more", "- c"] }],
  }]);
  assert.deepEqual(blocks("3. a\n  - b\n4. c\n\ntext"), [
    {
      type: "list",
      start: 3,
      isLoose: false,
      items: [{ isDone: null, lines: ["a", "- b"] }, { isDone: null, lines: ["c"] }],
    },
    { type: "paragraph", text: "text" },
  ]);
  assert.deepEqual(blocks("1. a\n\n   ```\n   x\n   ```\n2. b"), [{
    type: "list",
    start: 1,
    isLoose: true,
    items: [{ isDone: null, lines: ["a", "", "```", "x", "```"] }, { isDone: null, lines: ["b"] }],
  }]);
  assert.deepEqual(blocks("in 2024. nothing\n7. is no list").length, 1);
});

Deno.test("no letter is lost: what is shown holds every word that was written", () => {
  const piece = fc.constantFrom(
    "word ",
    "*",
    "**",
    "_",
    "`",
    "~~",
    "[",
    "](",
    ")",
    "!",
    "\n",
    "\\",
    "> ",
    "- ",
    "1. ",
    "https://",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const text = pieces.join("");
      const count = (of: string) => of.split("word").length - 1;
      const shown = readInlines(text);
      const hrefs = JSON.stringify(shown);
      assert.ok(count(plainText(shown)) + count(hrefs) >= count(text));
      assert.ok(readBlocks(linesOf(text)).reduce((sum, block) => sum + count(block.raw), 0) === count(text));
    }),
  );
});

Deno.test("hostile texts take no longer than long ones", () => {
  const hostile = [
    "`",
    "*a ",
    "_a*",
    "[",
    "![",
    "](",
    "<",
    "~~",
    "**a_",
    "[a](",
    "&#",
    "https://",
    "\\",
    "a*b_c`",
    "``` ",
  ];
  for (const piece of hostile) {
    const text = piece.repeat(Math.ceil(100_000 / piece.length));
    readInlines(text);
    readBlocks(linesOf(text));
    readBlocks(linesOf(`${piece}\n`.repeat(20_000)));
  }
});
