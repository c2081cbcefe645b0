import { computed, type Signal, signal } from "@preact/signals";
import { unflatten } from "devalue";
import type { ComponentChildren, FunctionComponent, VNode } from "preact";
import assert from "node:assert/strict";
import { setBuildCache } from "./build_cache.ts";
import { App } from "./mod.ts";
import { asset, assetSrcSet, Head } from "./runtime.ts";
import { testBuild } from "./testdata/build_cache.ts";

async function render(
  page: () => VNode,
  // Islands of any props.
  // deno-lint-ignore no-explicit-any
  islands: Record<string, FunctionComponent<any>> = {},
  path = "/",
): Promise<string> {
  const app = new App().get("/*", (ctx) => ctx.render(page()));
  setBuildCache(app, testBuild({ islands }));
  return await (await app.handler()(new Request(`http://localhost${path}`))).text();
}

function stateOf(html: string): { i: unknown[]; p: unknown[][] } {
  const json = /<script id="__FRESH_STATE"[^>]*>(.*?)<\/script>/s.exec(html)![1]!;
  const state = JSON.parse(json);
  const revive = {
    Signal: (v: unknown) => ({ signal: v }),
    Computed: (v: unknown) => ({ computed: v }),
    Slot: (v: unknown) => ({ slot: v }),
  };
  return { i: state.i, p: unflatten(state.p, revive) };
}

const Show = ({ value }: { value?: unknown }) => <span>{typeof value}</span>;

Deno.test("render - a page without islands has no script", async () => {
  const html = await render(() => (
    <html>
      <head />
      <body>
        <p>hi</p>
      </body>
    </html>
  ), { Show });
  assert.equal(html, "<!DOCTYPE html><html><head></head><body><p>hi</p></body></html>");
});

Deno.test("render - a fragment becomes a document", async () => {
  assert.equal(
    await render(() => <p>hi</p>),
    '<!DOCTYPE html><html><head><meta charset="utf-8"/></head><body><p>hi</p></body></html>',
  );
});

Deno.test("render - an island's scripts and preloads carry the nonce; its props cannot leave their element", async () => {
  const evil = "</script><script>alert(1)</script><!--\u2028";
  const html = await render(() => (
    <html>
      <head />
      <body>
        <Show value={evil} />
      </body>
    </html>
  ), { Show });
  const scripts = html.match(/<(script|link)[^>]*>/g)!;
  assert.equal(scripts.length, 5);
  const nonce = /nonce="([^"]+)"/.exec(html)![1];
  for (const tag of scripts) assert.ok(tag.includes(`nonce="${nonce}"`), tag);
  assert.equal(html.split("</script>").length - 1, 2);
  assert.ok(!html.includes("\u2028"));
  assert.deepEqual(stateOf(html).p, [[0, { value: evil }]]);
  assert.deepEqual(stateOf(html).i, [["/_fresh/js/Show.js", "default"]]);
});

Deno.test("render - props keep their types, shared values and signals stay shared", async () => {
  const shared = signal(1);
  const data = { self: null as unknown };
  data.self = data;
  const props = {
    big: 7n,
    none: undefined,
    numbers: [NaN, Infinity, -0],
    date: new Date(0),
    url: new URL("https://example.com/"),
    pattern: /a/g,
    map: new Map<unknown, unknown>([["k", new Set([1])]]),
    bytes: new Uint8Array([1, 2]),
    data,
  };
  const html = await render(
    () => (
      <>
        <Show value={props} />
        <Show value={[shared, shared, computed(() => shared.value * 2)]} />
        <Show value={shared} />
      </>
    ),
    { Show },
  );
  const [first, second, third] = stateOf(html).p.map(([, props]) => (props as { value: unknown }).value);
  const { data: sent, ...rest } = first as typeof props;
  const { data: _data, ...expected } = props;
  assert.deepEqual(rest, expected);
  assert.equal(sent.self, sent);
  const [one, other, double] = second as unknown[];
  assert.equal(one, other);
  assert.equal(one, third);
  assert.deepEqual(double, { computed: [2] });
});

Deno.test("render - a prop that cannot be sent is named", async () => {
  const app = new App().onError((ctx) => ctx.text(String(ctx.error), { status: 500 })).get(
    "/",
    (ctx) => ctx.render(<Show value={{ save: () => {} }} />),
  );
  setBuildCache(app, testBuild({ islands: { Show } }));
  const text = await (await app.handler()(new Request("http://localhost/"))).text();
  assert.match(text, /Island "Show": the prop "value\.save" cannot be sent/);
});

Deno.test("render - JSX props are slots; islands in them are islands, islands in islands are not", async () => {
  const Box = ({ children, extra, open }: { children: ComponentChildren; extra: VNode; open: boolean }) => (
    <div>
      {children}
      {open && extra}
      <Show value="inner" />
    </div>
  );
  const html = await render(() => (
    <Box open={false} extra={<i>later</i>}>
      text <Show value={1} />
    </Box>
  ), { Box, Show });
  assert.equal(html.match(/<!--fresh:i:/g)!.length, 2);
  assert.match(html, /<!--fresh:s:\d-->text <!--fresh:i:1--><span>number<\/span><!--\/fresh:i--><!--\/fresh:s-->/);
  assert.match(html, /<template id="fresh-s-\d"><i>later<\/i><\/template>/);
});

Deno.test("Head - replaces the title, and elements with the same key, id or meta name; the last wins", async () => {
  const html = await render(() => (
    <html>
      <head>
        <title>app</title>
        <meta name="description" content="app" />
        <link key="icon" rel="icon" href="/a.ico" />
      </head>
      <body>
        <Head>
          <title>page</title>
          <meta name="description" content="page" />
        </Head>
        <Head>
          <link key="icon" rel="icon" href="/b.ico" />
          <meta name="author" content="me" />
        </Head>
      </body>
    </html>
  ));
  const head = /<head>(.*)<\/head>/.exec(html)![1];
  assert.equal(
    head,
    '<title>page</title><meta name="description" content="page"/><link rel="icon" href="/b.ico"/>' +
      '<meta name="author" content="me"/>',
  );
});

Deno.test("asset - ties paths to the build, in img and source too unless they opt out", async () => {
  const html = await render(() => (
    <p>
      <img src="/a.png" srcset="/b.png 1x, /c.png 2x" />
      <img src="/d.png" data-fresh-disable-lock />
      <a href={asset("/e.pdf#p2")}>{assetSrcSet("/f.png 2x")}</a>
    </p>
  ));
  assert.ok(html.includes('src="/a.png?__frsh_c=test-build"'));
  assert.ok(html.includes('srcset="/b.png?__frsh_c=test-build 1x, /c.png?__frsh_c=test-build 2x"'));
  assert.ok(html.includes('src="/d.png"'));
  assert.ok(html.includes('href="/e.pdf?__frsh_c=test-build#p2"'));
  assert.equal(asset("/g?x=1"), "/g?x=1&__frsh_c=test-build");
  for (const path of ["https://example.com/x.png", "//cdn/x.png", "x.png"]) assert.equal(asset(path), path);
});

Deno.test("links - the current page and its ancestors are marked", async () => {
  const html = await render(
    () => (
      <nav>
        <a href="/a/b">b</a>
        <a href="/a">a</a>
        <a href="/c">c</a>
      </nav>
    ),
    {},
    "/a/b",
  );
  assert.match(html, /<a href="\/a\/b" data-current="true" aria-current="page">/);
  assert.match(html, /<a href="\/a" data-ancestor="true" aria-current="true">/);
  assert.match(html, /<a href="\/c">/);
});

Deno.test("render - a signal is rendered as its value", async () => {
  const text: Signal<string> = signal("from a signal");
  assert.match(await render(() => <p>{text}</p>), /<p>from a signal<\/p>/);
});
