import assert from "node:assert/strict";
import { setBuildCache } from "./build_cache.ts";
import { compareRoutePaths, isRouteFile, pathToPattern } from "./fs_routes.ts";
import { App, type FreshContext, HttpError, page, type PageProps } from "./mod.ts";
import { testBuild } from "./testdata/build_cache.ts";

type State = { text: string };

function serve(routes: Record<string, Record<string, unknown>>, mount?: string) {
  const app = new App<State>().fsRoutes(mount);
  setBuildCache(app, testBuild({ routes }));
  const handler = app.handler();
  return async (path: string, method = "GET"): Promise<[number, string]> => {
    const response = await handler(new Request(`http://localhost${path}`, { method }));
    return [response.status, (await response.text()).replaceAll(/<[^>]*>/g, "")];
  };
}

const append = (text: string) => (ctx: FreshContext<State>) => {
  ctx.state.text = (ctx.state.text ?? "") + text;
  return ctx.next();
};
const wrap = (name: string) => ({ Component }: PageProps) => (
  <>
    {name}/<Component />
  </>
);

Deno.test("fsRoutes - file names map to patterns", () => {
  const table = {
    "index.ts": "/",
    "about.ts": "/about",
    "blog/index.ts": "/blog",
    "blog/[slug].ts": "/blog/:slug",
    "blog/[slug]/comments.ts": "/blog/:slug/comments",
    "old/[...path].ts": "/old/:path*",
    "docs/[[version]]/index.ts": "/docs{/:version}?",
    "(marketing)/about.tsx": "/about",
    "(marketing)/index.tsx": "/",
    "[id]@[rev].tsx": "/:id@:rev",
  };
  for (const [path, pattern] of Object.entries(table)) assert.equal(pathToPattern(path), pattern);
  assert.throws(() => pathToPattern("blog/[slug.ts"), /blog\/\[slug\.ts.*unbalanced/);
});

Deno.test("fsRoutes - tests, islands and components beside routes are not routes", () => {
  assert.ok(isRouteFile("(group)/a.tsx"));
  for (const path of ["a_test.ts", "a.test.tsx", "(_islands)/a.tsx", "x/(_components)/b.tsx", "a.css", "a.d.ts"]) {
    assert.ok(!isRouteFile(path), path);
  }
});

Deno.test("fsRoutes - the most specific route answers", async () => {
  const names = ["[...rest].ts", "[id].ts", "all.ts", "index.ts", "docs/[[version]]/index.ts", "docs/[a]/[b].ts"];
  assert.deepEqual([...names].sort(compareRoutePaths), [
    "all.ts",
    "docs/[a]/[b].ts",
    "docs/[[version]]/index.ts",
    "index.ts",
    "[id].ts",
    "[...rest].ts",
  ]);
  const get = serve(Object.fromEntries(names.map((name) => [name, { handler: () => new Response(name) }])));
  assert.deepEqual(await get("/all"), [200, "all.ts"]);
  assert.deepEqual(await get("/"), [200, "index.ts"]);
  assert.deepEqual(await get("/other"), [200, "[id].ts"]);
  assert.deepEqual(await get("/other/more"), [200, "[...rest].ts"]);
  assert.deepEqual(await get("/docs"), [200, "docs/[[version]]/index.ts"]);
  assert.deepEqual(await get("/docs/latest"), [200, "docs/[[version]]/index.ts"]);
  assert.deepEqual(await get("/docs/latest/x"), [200, "docs/[a]/[b].ts"]);
});

Deno.test("fsRoutes - handlers by method or as one function, under both names", async () => {
  const get = serve({
    "one.ts": { handlers: { GET: () => new Response("get"), POST: () => new Response("post") } },
    "all.ts": { handler: (ctx: FreshContext<State>) => new Response(ctx.req.method) },
    "page.tsx": { default: () => <p>page</p>, handler: { POST: () => new Response("posted") } },
    "data.tsx": {
      default: ({ data }: PageProps<number>) => <p>{data + 1}</p>,
      handler: { GET: () => page(41, { status: 202 }) },
    },
  });
  assert.deepEqual(await get("/one", "POST"), [200, "post"]);
  assert.deepEqual(await get("/one", "PUT"), [405, "Method Not Allowed"]);
  assert.deepEqual(await get("/all", "DELETE"), [200, "DELETE"]);
  assert.deepEqual(await get("/page"), [200, "page"]);
  assert.deepEqual(await get("/page", "POST"), [200, "posted"]);
  assert.deepEqual(await get("/data"), [202, "42"]);
});

Deno.test("fsRoutes - a file without exports is refused with its name", () => {
  assert.throws(() => serve({ "empty.ts": {} }), /empty\.ts.*relevant exports/);
});

Deno.test("fsRoutes - middlewares nest, may be arrays, and see params", async () => {
  const show = { handler: (ctx: FreshContext<State>) => ctx.text(ctx.state.text) };
  const get = serve({
    "_middleware.ts": { handler: [append("A"), append("B")] },
    "[tenant]/_middleware.ts": {
      default: (ctx: FreshContext<State>) => append(`(${ctx.params.tenant})`)(ctx),
    },
    "[tenant]/admin/index.ts": show,
    "(x)/_middleware.ts": { handlers: append("X") },
    "(x)/inside.ts": show,
    "outside.ts": show,
  });
  assert.deepEqual(await get("/outside"), [200, "AB"]);
  assert.deepEqual(await get("/inside"), [200, "ABX"]);

  assert.deepEqual(await get("/acme/admin"), [200, "AB(acme)"]);
});

Deno.test("fsRoutes - _app and layouts wrap pages; groups have their own; config skips them", async () => {
  const text = (name: string) => ({ default: () => <>{name}</> });
  const get = serve({
    "_app.tsx": { default: wrap("app") },
    "_layout.tsx": { default: wrap("root") },
    "(a)/_layout.tsx": { default: wrap("a") },
    "(a)/about.tsx": text("about"),
    "contact.tsx": text("contact"),
    "special.tsx": { ...text("special"), config: { skipInheritedLayouts: true } },
    "bare.tsx": { ...text("bare"), config: { skipInheritedLayouts: true, skipAppWrapper: true } },
    "async.tsx": { default: async () => await Promise.resolve(<>async</>) },
    "sub/_layout.tsx": { default: wrap("sub"), config: { skipInheritedLayouts: true, skipAppWrapper: true } },
    "sub/index.tsx": text("index"),
  });
  assert.deepEqual(await get("/about"), [200, "app/root/a/about"]);
  assert.deepEqual(await get("/contact"), [200, "app/root/contact"]);
  assert.deepEqual(await get("/special"), [200, "app/special"]);
  assert.deepEqual(await get("/bare"), [200, "bare"]);
  assert.deepEqual(await get("/async"), [200, "app/root/async"]);
  assert.deepEqual(await get("/sub"), [200, "sub/index"]);
});

Deno.test("fsRoutes - a page may return a Response, async or not", async () => {
  const get = serve({
    "sync.tsx": { default: () => new Response("sync", { status: 403 }) },
    "async.tsx": { default: async () => await Promise.resolve(new Response("async", { status: 401 })) },
  });
  assert.deepEqual(await get("/sync"), [403, "sync"]);
  assert.deepEqual(await get("/async"), [401, "async"]);
});

Deno.test("fsRoutes - _error is nested and gets the status of its error; _404 answers 404", async () => {
  const errorPage = (name: string) => ({
    default: ({ error }: PageProps) => <>{name} {error instanceof HttpError ? error.status : "broken"}</>,
  });
  const fail = (error: unknown) => ({
    handler: () => {
      throw error;
    },
  });
  const routes = {
    "_error.tsx": errorPage("root"),
    "sub/_error.tsx": errorPage("sub"),
    "sub/fail.ts": fail(new HttpError(410)),
    "fail.ts": fail(new Error("x")),
  };
  const get = serve(routes);
  assert.deepEqual(await get("/sub/fail"), [410, "sub 410"]);
  assert.deepEqual(await get("/fail"), [500, "root broken"]);
  assert.deepEqual(await get("/none"), [404, "root 404"]);
  const withOwn = serve({ ...routes, "_404.tsx": errorPage("own") });
  assert.deepEqual(await withOwn("/none"), [404, "own 404"]);
  const wrapped = serve({
    "_404.tsx": errorPage("own"),
    "_layout.tsx": { default: wrap("root") },
    "sub/_layout.tsx": { default: wrap("sub") },
    "sub/gone.ts": { ...fail(new HttpError(404)), config: { skipInheritedLayouts: true } },
  });
  assert.deepEqual(await wrapped("/sub/gone"), [404, "root/own 404"]);
});

Deno.test("fsRoutes - routeOverride replaces the pattern; the routes may be mounted below a path", async () => {
  const route = {
    handler: (ctx: FreshContext<State>) => ctx.json(ctx.params),
    config: { routeOverride: "/x/:module@:version/:path*" },
  };
  const get = serve({ "my-route.ts": route }, "/base");
  assert.deepEqual(await get("/base/x/std@1/a/b"), [200, '{"module":"std","version":"1","path":"a/b"}']);
});

Deno.test("fsRoutes - says what to do when there is no build", () => {
  assert.throws(() => new App().fsRoutes().handler(), /needs a build.*server\.js/s);
});
