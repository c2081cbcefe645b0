import assert from "node:assert/strict";
import { setBuildCache } from "../build_cache.ts";
import { App, staticFiles } from "../mod.ts";
import { testBuild } from "../testdata/build_cache.ts";
import { chooseEncoding } from "./static_files.ts";

function server(mode: "development" | "production" = "production", basePath?: string) {
  const app = new App({ basePath }).use(staticFiles()).get("/", () => new Response("it works"));
  setBuildCache(app, testBuild({ mode, files: { "/foo.css": "body {}", "/C#.svg": "<svg/>", "/西安.png": "png" } }));
  const handler = app.handler();
  return (path: string, init?: RequestInit) => Promise.resolve(handler(new Request(`http://localhost${path}`, init)));
}

Deno.test("staticFiles - serves known files and passes on everything else", async () => {
  const get = server();
  const response = await get("/foo.css");
  assert.equal(await response.text(), "body {}");
  assert.equal(response.headers.get("content-type"), "text/css; charset=utf-8");
  assert.equal(response.headers.get("content-length"), "7");
  assert.equal(response.headers.get("etag"), 'W/"123"');
  assert.equal(response.headers.get("cache-control"), "no-cache");
  assert.equal(await (await get("/")).text(), "it works");
  assert.equal((await get("/favicon.ico")).status, 404);
  assert.equal((await get("/C%23.svg")).status, 200);
  assert.equal((await get("/%E8%A5%BF%E5%AE%89.png")).status, 200);
});

Deno.test("staticFiles - HEAD has headers only; other methods are refused", async () => {
  const get = server();
  const head = await get("/foo.css", { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "7");
  assert.equal(head.body, null);
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    assert.equal((await get("/foo.css", { method })).status, 405);
  }
});

Deno.test("staticFiles - a URL of this build is immutable; one of another build leads to the current file", async () => {
  const get = server();
  const current = await get("/foo.css?__frsh_c=test-build");
  assert.equal(current.headers.get("cache-control"), "public, max-age=31536000, immutable");
  await current.body?.cancel();
  const stale = await get("/foo.css?a=1&__frsh_c=old");
  assert.equal(stale.status, 307);
  assert.equal(stale.headers.get("location"), "/foo.css?a=1");
  const dev = await server("development")("/foo.css?__frsh_c=test-build");
  assert.equal(dev.headers.get("cache-control"), "no-cache, no-store, max-age=0, must-revalidate");
  await dev.body?.cancel();
});

Deno.test("staticFiles - 304 when the client has the file", async () => {
  const get = server();
  for (const tag of ["123", '"123"', 'W/"123"', 'W/"0", W/"123"', "*"]) {
    const response = await get("/foo.css", { headers: { "if-none-match": tag } });
    assert.equal(response.status, 304, tag);
    assert.equal(response.headers.get("etag"), 'W/"123"');
  }
  const other = await get("/foo.css", { headers: { "if-none-match": 'W/"124"' } });
  assert.equal(other.status, 200);
  await other.body?.cancel();
});

Deno.test("staticFiles - nothing outside the build can be reached", async () => {
  const get = server();
  for (const path of ["/../deno.json", "/%2e%2e/deno.json", "/..%2fdeno.json", "/etc/passwd", "/%00", "/%zz"]) {
    assert.equal((await get(path)).status, 404, path);
  }
});

Deno.test("staticFiles - below the base path", async () => {
  const get = server("production", "/base");
  assert.equal(await (await get("/base/foo.css")).text(), "body {}");
  assert.equal((await get("/foo.css")).status, 404);
});

Deno.test("chooseEncoding - what the client allows, best first", () => {
  const both: ("br" | "gzip")[] = ["br", "gzip"];
  const table = {
    "gzip, br": "br",
    "gzip": "gzip",
    "br;q=0, gzip;q=0.5": "gzip",
    "*": "br",
    "": null,
    "deflate": null,
  };
  for (const [accept, expected] of Object.entries(table)) assert.equal(chooseEncoding(accept, both), expected, accept);
  assert.equal(chooseEncoding("gzip, br", []), null);
});
