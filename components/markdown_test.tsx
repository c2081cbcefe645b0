import assert from "node:assert/strict";
import fc from "fast-check";
import type { VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import { safeUrl } from "@/client/safe_url.ts";
import { Markdown } from "./markdown.tsx";

const html = (text: string) => renderToString(<Markdown text={text} /> as VNode);

/** Elements that markdown may become, and the attributes that each may have. */
const allowedTags = new Set(
  ("div p h3 h4 h5 h6 ul ol li blockquote hr br strong em del code pre figure figcaption span a button svg path " +
    "table thead tbody tr th td").split(" "),
);

function assertHarmless(output: string, input: string): void {
  for (const [, tag, attributes] of output.matchAll(/<([a-zA-Z][^\s/>]*)((?:[^>"]|"[^"]*")*)>/g)) {
    assert.ok(allowedTags.has(tag!.toLowerCase()), `<${tag}> came out of ${JSON.stringify(input)}`);
    for (const [, name, value] of attributes!.matchAll(/([^\s="]+)="([^"]*)"/g)) {
      assert.ok(!/^on|^style$|^src|^srcdoc$|^formaction$/i.test(name!), `${name} came out of ${JSON.stringify(input)}`);
      if (name === "href") assert.match(value!, /^(?:https?:\/\/|mailto:)/, `href of ${JSON.stringify(input)}`);
    }
  }
}

const hostile = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "[a](javascript:alert(1))",
  "[a](JaVaScRiPt:alert(1))",
  "[a](java\tscript:alert(1))",
  "[a](&#106;avascript:alert(1))",
  "[a](data:text/html,<script>1</script>)",
  "[a](vbscript:x)",
  "[a](//evil.example)",
  "[a](/api/keys)",
  "[a](file:///etc/passwd)",
  "[a]( javascript:alert(1) )",
  "[a](<javascript:alert(1)>)",
  "![a](javascript:alert(1))",
  "![a](https://evil.example/track.gif)",
  "<a href='javascript:1'>x</a>",
  "<javascript:alert(1)>",
  "[a][r]\n\n[r]: javascript:alert(1)",
  '[a](https://x.example/"onmouseover="alert(1))',
  '[a](https://x.example "title\\" onclick=\\"x")',
  '```"><script>\n</script>\n```',
  "`<b>`",
  "> <iframe src=x>",
  "- <style>*{}</style>",
  "| <b> | [x](javascript:1) |\n| - | - |\n| <i onclick=x> | y |",
  "<!-- --><script>1</script>",
  "&lt;script&gt;&#60;img src=x onerror=1&#62;",
];

Deno.test("hostile markdown stays text", () => {
  for (const text of hostile) {
    const output = html(text);
    assertHarmless(output, text);
    assert.ok(!/<(?:script|img|iframe|style|b|i)[\s>]/i.test(output), text);
  }
});

Deno.test("no mixture of hostile pieces becomes markup", () => {
  const piece = fc.oneof(
    fc.constantFrom(...hostile),
    fc.constantFrom(
      "\n",
      "\n\n",
      "> ",
      "- ",
      "1. ",
      "    ",
      "**",
      "_",
      "`",
      "```",
      "[",
      "](",
      ")",
      "<",
      ">",
      "&",
      "|",
      "\\",
      "#",
      "~~",
    ),
    fc.string({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
      const text = pieces.join("");
      assertHarmless(html(text), text);
    }),
    { numRuns: 400 },
  );
});

Deno.test("absurd nesting and length end as text, not as a crash", () => {
  for (const text of ["> ".repeat(5_000) + "x", "- ".repeat(2_000) + "x", "*".repeat(3_000) + "x", "[".repeat(3_000)]) {
    assertHarmless(html(text), text.slice(0, 20));
  }
  assert.match(html("x".repeat(200_001)), /^<div class="markdown plain">/);
});

Deno.test("what agents write looks like it should", () => {
  assert.match(
    html("# Done\n\nSee [docs](https://x.example/a?b=1)."),
    /<h3>Done<\/h3>.*href="https:\/\/x\.example\/a\?b=1"/s,
  );
  assert.match(html("- [x] one\n- [ ] two"), /aria-label="done".*aria-label="open"/s);
  assert.match(html("a &amp; b &lt;c&gt;"), /a &amp; b &lt;c/);
  assert.match(html("1 < 2 <b>bold</b>"), /&lt;b>bold&lt;\/b>/);
  assert.match(html("```ts\nconst a = 1;\n```"), /<figcaption><span>ts<\/span>/);
});

Deno.test("only web and mail addresses can be followed", () => {
  assert.equal(safeUrl("https://a.example/x"), "https://a.example/x");
  assert.equal(safeUrl("mailto:a@b.example"), "mailto:a@b.example");
  for (const href of ["javascript:1", "//a.example", "/x", "", "java\nscript:1", " https://a", "http://", "data:,x"]) {
    assert.equal(safeUrl(href), null, href);
  }
});
