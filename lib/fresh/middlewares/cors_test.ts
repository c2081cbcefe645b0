import assert from "node:assert/strict";
import { App } from "../app.ts";
import { cors, type CORSOptions } from "./cors.ts";

function ask(options: CORSOptions<unknown> | undefined, method: string, headers: HeadersInit): Promise<Response> {
  const handler = new App().use(cors(options)).get("/", () => new Response("ok")).handler();
  return Promise.resolve(handler(new Request("http://localhost/", { method, headers })));
}

const OPTIONS: CORSOptions<unknown> = {
  origin: ["http://example.com", "http://example.org"],
  allowHeaders: ["X-Custom"],
  allowMethods: ["POST", "GET"],
  exposeHeaders: ["Content-Length"],
  maxAge: 600,
  credentials: true,
};

Deno.test("cors - any origin by default", async () => {
  const response = await ask(undefined, "GET", { origin: "http://a.com" });
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.equal(response.headers.get("vary"), null);
});

Deno.test("cors - answers preflights of allowed origins", async () => {
  const response = await ask(OPTIONS, "OPTIONS", {
    origin: "http://example.org",
    "access-control-request-method": "POST",
  });
  assert.equal(response.status, 204);
  const expected = {
    "access-control-allow-origin": "http://example.org",
    "access-control-allow-headers": "X-Custom",
    "access-control-allow-methods": "POST,GET",
    "access-control-max-age": "600",
    "access-control-allow-credentials": "true",
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(response.headers.get(name), value);
});

Deno.test("cors - gives other origins nothing, and varies by origin", async () => {
  const response = await ask(OPTIONS, "GET", { origin: "http://evil.com" });
  assert.equal(await response.text(), "ok");
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  assert.equal(response.headers.get("vary"), "Origin");
  const chosen = await ask({ origin: (origin) => origin }, "GET", { origin: "http://b.com" });
  assert.equal(chosen.headers.get("access-control-allow-origin"), "http://b.com");
});
