import assert from "node:assert/strict";
import { App } from "../app.ts";
import { csp, type CSPOptions } from "./csp.ts";

const DEFAULT =
  "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; media-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; upgrade-insecure-requests";

function get(options?: CSPOptions, path = "/"): Promise<Response> {
  const app = new App()
    .use(csp(options))
    .get("/", () => new Response("ok"))
    .get("/page", (ctx) =>
      ctx.render(
        <html>
          <head>
            <style>{"body { color: red }"}</style>
          </head>
          <body>
            <script>console.log(1)</script>
            <script nonce="own">console.log(2)</script>
          </body>
        </html>,
      ))
    .get("/redirect", () => Response.redirect("https://example.com/", 307));
  return Promise.resolve(app.handler()(new Request(`https://localhost${path}`)));
}

Deno.test("csp - default, override, report", async () => {
  assert.equal((await get()).headers.get("content-security-policy"), DEFAULT);
  const reported = await get({
    reportOnly: true,
    reportTo: "/api/csp",
    csp: ["font-src https://x.com", "child-src a"],
  });
  assert.equal(reported.headers.get("content-security-policy"), null);
  assert.equal(
    reported.headers.get("content-security-policy-report-only"),
    DEFAULT.replace("font-src 'self'", "font-src https://x.com") +
      "; child-src a; report-to csp-endpoint; report-uri /api/csp",
  );
  assert.equal(reported.headers.get("reporting-endpoints"), 'csp-endpoint="/api/csp"');
});

Deno.test("csp - useNonce allows only the page's own scripts and styles", async () => {
  const response = await get({ useNonce: true }, "/page");
  const policy = response.headers.get("content-security-policy")!;
  const nonce = /'nonce-([a-f0-9]{32})'/.exec(policy)![1]!;
  assert.equal(policy, DEFAULT.replaceAll("'unsafe-inline'", `'nonce-${nonce}'`));
  const html = await response.text();
  assert.ok(html.includes(`<style nonce="${nonce}">`));
  assert.ok(html.includes(`<script nonce="${nonce}">console.log(1)`));
  assert.ok(html.includes(`<script nonce="own">`));
  const again = await get({ useNonce: true }, "/page");
  assert.notEqual(again.headers.get("content-security-policy"), policy);
});

Deno.test("csp - useNonce keeps 'unsafe-inline' where nothing was rendered", async () => {
  assert.equal((await get({ useNonce: true })).headers.get("content-security-policy"), DEFAULT);
});

Deno.test("csp - is set on responses with immutable headers", async () => {
  const response = await get({}, "/redirect");
  assert.equal(response.status, 307);
  assert.equal(response.headers.get("content-security-policy"), DEFAULT);
});
