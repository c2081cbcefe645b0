/** What an agent prints is hostile: it is shown as text, runs nothing, asks nobody and stays inside the window. */
import assert from "node:assert/strict";
import type { EntryBodies, WireEntry } from "@/protocol/mod.ts";
import { entryOf } from "./entries.ts";
import { openSite, overflowPx } from "./site.ts";

/** Set by any script that gets to run. */
const FLAG = "perchWasOwned";
const run = `window.${FLAG}=1`;

const messages: Record<string, string> = {
  links: [
    `[one](javascript:${run}) [two](JaVaScRiPt:${run}) [three](java\tscript:${run}) [four](&#106;avascript:${run})`,
    `[five](data:text/html,<script>${run}</script>) [six](vbscript:${run}) <javascript:${run}> [seven]( javascript:${run})`,
    `![eight](javascript:${run}) ![nine](https://evil.example/pixel.png) [ten](//evil.example) [fine](https://example.com/a)`,
  ].join("\n\n"),
  html: [
    `<script>${run}</script><img src=x onerror="${run}"><svg onload="${run}"></svg>`,
    `<iframe srcdoc="<script>parent.${FLAG}=1</script>"></iframe><style>body{display:none}</style><base href="https://evil.example/">`,
    `</div></div></main><details open ontoggle="${run}">x</details><a href="javascript:${run}">y</a>`,
    "```html\n<script>" + run + "</script>\n```",
    "`<img src=x onerror=" + run + ">`",
  ].join("\n\n"),
  "a line of 200 KB": "x".repeat(200_000),
  "a line of 200 KB in words": "word ".repeat(40_000),
  "a heading without a gap": `# ${"W".repeat(2_000)}`,
  "code of 20 KB in a line": "```js\n" + "a=1;".repeat(5_000) + "\n```",
  "a table of 300 columns": [
    `|${" head |".repeat(300)}`,
    `|${"---|".repeat(300)}`,
    `|${" averyveryverylongcell |".repeat(300)}`,
  ].join("\n"),
  "deep lists": Array.from({ length: 60 }, (_, depth) => `${"  ".repeat(depth)}- level ${depth}`).join("\n"),
  "deep quotes": `${">".repeat(200)} deep`,
  "right to left": "مرحبا بالعالم \u202Etxt.exe\u202C שלום \u2066hidden\u2069 end " + "\u202E".repeat(500),
  "combining characters": "Z" + "\u0300\u0301\u0302\u0303\u0310\u0334\u0489".repeat(200) + " after",
  "zero width": "a\u200B\u200C\u200D\uFEFF".repeat(2_000),
  "nothing closed": `${"**".repeat(3_000)} ${"[".repeat(3_000)} ${"`".repeat(999)} ${"<".repeat(3_000)}`,
};

const tool = (at: number, body: Partial<EntryBodies["tool_call"]>, title: string): WireEntry =>
  entryOf(at, "tool_call", { toolCallId: `call-${at}`, output: "", content: [], locations: [], ...body }, {
    title,
    toolKind: "execute",
  });

function hostileEntries(): WireEntry[] {
  const made = Object.values(messages).map((text, at) => entryOf(at, "agent_message", { text }));
  const wide = "/very/long/path".repeat(200);
  let at = made.length;
  return [
    ...made,
    entryOf(at++, "user_message", { text: `<img src=x onerror=${run}>\n${"y".repeat(50_000)}`, from: "<b>Ann</b>" }),
    entryOf(at++, "thought", { text: `[t](javascript:${run})\n\n${"thought".repeat(2_000)}` }),
    entryOf(at++, "notice", {
      level: "error",
      text: "n".repeat(3_000),
      detail: `<script>${run}</script>` + "d".repeat(9_000),
    }),
    tool(at++, {
      input: { command: `<script>${run}</script>${"c".repeat(3_000)}` },
      output:
        `\u001b[31mred\u001b[0m \u001b]8;;javascript:${run}\u0007link\u001b]8;;\u0007 \u001b[2J\u001b[H\u0007\u0000 ${
          "o".repeat(200_000)
        }`,
    }, `\u001b[1m<b>${"t".repeat(500)}</b>`),
    tool(at++, {
      content: [
        { type: "diff", path: wide, oldText: "a\n", newText: `${"z".repeat(5_000)}\n<script>${run}</script>\n` },
        {
          type: "image",
          mediaType: "image/svg+xml",
          data: btoa(`<svg xmlns="http://www.w3.org/2000/svg" onload="${run}"/>`),
        },
        { type: "text", text: `<img src=x onerror=${run}>` },
      ],
      locations: [{ path: wide }],
    }, "Edit"),
    entryOf(at++, "interaction", {
      interaction: "permission",
      message: `<script>${run}</script> ${"m".repeat(3_000)}`,
      toolName: "n".repeat(200),
      input: { command: "rm ".repeat(2_000) },
      options: [
        { optionId: "a", name: "An option whose name goes on and on ".repeat(8), kind: "allow_once" },
        { optionId: "b", name: "o".repeat(300), kind: "reject_once" },
      ],
    }, { status: "pending", attention: true }),
  ];
}

for (const size of ["phone", "desktop"] as const) {
  Deno.test(`${size}: hostile output runs nothing, asks nobody and stays inside the window`, async (t) => {
    await using site = await openSite();
    await using host = await site.session(`<img src=x onerror=${run}> ${"title".repeat(60)}`, {
      activity: "waiting",
      attention: 1,
      preview: `<script>${run}</script>${"p".repeat(150)}`,
      plan: [{ content: `<b>${"plan".repeat(200)}</b>`, status: "in_progress" }],
      model: { provider: "<i>", id: "m".repeat(120), name: "<script>".repeat(12) },
      commands: [{ name: "c".repeat(200), description: "<b>d</b>".repeat(100) }],
    });
    const entries = hostileEntries();
    for (const entry of entries) host.write(entry);
    await host.settled();
    const page = await site.page(await site.device(size));
    await page.goto(site.urlOf(host));
    const timeline = page.locator(".timeline");
    await timeline.locator(`[data-index="${entries.length - 1}"]`).waitFor();
    await t.step("each entry, opened", async () => {
      for (let at = entries.length - 1; at >= 0; at--) {
        const row = timeline.locator(`[data-index="${at}"]`);
        while (await row.count() === 0) {
          await timeline.evaluate(async (box) => {
            box.scrollTop -= box.clientHeight;
            await new Promise(requestAnimationFrame);
          });
        }
        await row.evaluate(async (element) => {
          element.scrollIntoView({ block: "start" });
          for (const fold of element.querySelectorAll<HTMLElement>("details:not([open]) > summary")) fold.click();
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        });
        const name = Object.keys(messages)[at] ?? entries[at]!.kind;
        assert.ok(await overflowPx(page) <= 0, `${name}: the page can be moved sideways`);
        const isInside = await timeline.evaluate((box) => box.scrollWidth <= box.clientWidth);
        assert.ok(isInside, `${name}: wider than the timeline`);
      }
    });
    await t.step("links of other kinds are text", async () => {
      const hrefs = await page.locator(".timeline a").evaluateAll((links) =>
        links.map((link) => link.getAttribute("href")!)
      );
      assert.ok(hrefs.every((href) => /^(https?:|mailto:)/.test(href)), `${hrefs}`);
      assert.ok(hrefs.includes("https://example.com/a"));
      const strange = await page.locator(".timeline :is(script, iframe, style, base, svg[onload], [onerror])").count();
      assert.equal(strange, 0);
      for (const link of await page.locator(".unsafe-link").all()) await link.click();
    });
    await t.step("the lists", async () => {
      await page.goto(site.hub.url);
      await page.getByText("Needs you").waitFor();
      assert.ok(await overflowPx(page) <= 0);
    });
    assert.equal(await page.evaluate((flag) => Reflect.has(globalThis, flag), FLAG), false);
    site.assertQuiet();
  });
}
