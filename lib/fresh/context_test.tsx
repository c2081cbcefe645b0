import fc from "fast-check";
import assert from "node:assert/strict";
import { App, Context } from "./mod.ts";

const redirect = (to: string, status?: number) => Context.prototype.redirect(to, status);

Deno.test("ctx.redirect - to paths and absolute URLs", () => {
  assert.equal(redirect("/").status, 302);
  assert.equal(redirect("/", 307).status, 307);
  const cases = [
    ["/", "/"],
    ["//evil.com", "/evil.com"],
    ["//evil.com/foo//bar", "/evil.com/foo/bar"],
    ["/\\evil.com", "/evil.com"],
    ["\t//evil.com", "/evil.com"],
    ["/a//b?next=https://x.com//y#z//", "/a/b?next=https://x.com//y#z//"],
    ["https://deno.com", "https://deno.com"],
    ["/a b/西安", "/a b/%E8%A5%BF%E5%AE%89"],
  ] as const;
  for (const [to, location] of cases) assert.equal(redirect(to).headers.get("location"), location);
});

Deno.test("ctx.redirect - a path never leaves the site", () => {
  const piece = fc.constantFrom("/", "\\", "\t", " ", "evil.com", "a", "?", "#", "%2f", "..", "\v");
  fc.assert(fc.property(fc.array(piece, { maxLength: 8 }), fc.constantFrom("/", "\\", "\t/"), (pieces, start) => {
    const location = redirect(start + pieces.join("")).headers.get("location")!;
    assert.equal(new URL(location, "https://site.example/here").host, "site.example", location);
  }));
});

Deno.test("ctx - text, html, json and stream", async () => {
  const app = new App()
    .get("/text", (ctx) => ctx.text("é"))
    .get("/html", (ctx) => ctx.html("<p>", { status: 201 }))
    .get("/json", (ctx) => ctx.json({ a: 1 }))
    .get("/stream", (ctx) => ctx.stream(["a", new Uint8Array([98]), "c"]));
  const get = async (path: string) => {
    const response = await app.handler()(new Request(`http://localhost${path}`));
    return [response.status, response.headers.get("content-type"), await response.text()];
  };
  assert.deepEqual(await get("/text"), [200, "text/plain; charset=utf-8", "é"]);
  assert.deepEqual(await get("/html"), [201, "text/html; charset=utf-8", "<p>"]);
  assert.deepEqual(await get("/json"), [200, "application/json", '{"a":1}']);
  assert.deepEqual(await get("/stream"), [200, null, "abc"]);
});

Deno.test("ctx.render - status and headers; an error page has its error's status", async () => {
  const app = new App()
    .onError((ctx) => ctx.render(<p>oops</p>))
    .get("/teapot", (ctx) => ctx.render(<p>tea</p>, { status: 418, headers: { "X-Foo": "abc" } }))
    .get("/broken", () => {
      throw new Error("broken");
    })
    .get("/invalid", (ctx) => ctx.render({} as never));
  const get = (path: string) => app.handler()(new Request(`http://localhost${path}`));
  const teapot = await get("/teapot");
  assert.equal(teapot.status, 418);
  assert.equal(teapot.headers.get("x-foo"), "abc");
  assert.equal(teapot.headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal((await get("/broken")).status, 500);
  assert.equal((await get("/none")).status, 404);
  assert.equal((await get("/invalid")).status, 500);
});

Deno.test("ctx.isPartial - by the query", async () => {
  const app = new App().get("/", (ctx) => ctx.json(ctx.isPartial));
  const get = async (path: string) => await (await app.handler()(new Request(`http://localhost${path}`))).json();
  assert.equal(await get("/"), false);
  assert.equal(await get("/?fresh-partial=true"), true);
});
