import assert from "node:assert/strict";
import { App } from "../app.ts";
import { csrf, type CsrfOptions } from "./csrf.ts";

async function status(options: CsrfOptions<unknown>, method: string, headers: HeadersInit = {}): Promise<number> {
  const handler = new App().use(csrf(options)).all("/", () => new Response("ok")).handler();
  return (await handler(new Request("https://example.com/", { method, headers }))).status;
}

Deno.test("csrf - safe methods pass from anywhere", async () => {
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    assert.equal(await status({}, method, { "sec-fetch-site": "cross-site", origin: "https://evil.com" }), 200);
  }
});

Deno.test("csrf - Sec-Fetch-Site decides for the others", async () => {
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const from = (site: string) => status({}, method, { "sec-fetch-site": site });
    assert.deepEqual(await Promise.all(["same-origin", "none", "same-site", "cross-site"].map(from)), [
      200,
      200,
      403,
      403,
    ]);
  }
});

Deno.test("csrf - Origin decides without it; a request with neither passes", async () => {
  assert.equal(await status({}, "POST"), 200);
  assert.equal(await status({}, "POST", { origin: "https://example.com" }), 200);
  for (const origin of ["https://attacker.example.com", "http://example.com", "null"]) {
    assert.equal(await status({}, "POST", { origin }), 403, origin);
  }
});

Deno.test("csrf - trusts one origin, several, or what a function says", async () => {
  const other = { origin: "https://trusted.example.com", "sec-fetch-site": "cross-site" };
  const evil = { origin: "https://evil.com", "sec-fetch-site": "cross-site" };
  const trusted: CsrfOptions<unknown>["origin"][] = [
    "https://trusted.example.com",
    ["https://example.com", "https://trusted.example.com"],
    (origin) => origin.endsWith(".example.com"),
  ];
  for (const origin of trusted) {
    assert.equal(await status({ origin }, "POST", other), 200);
    assert.equal(await status({ origin }, "POST", evil), 403);
  }
});
