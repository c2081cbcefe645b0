import assert from "node:assert/strict";
import { asApiError } from "./api_errors.ts";

const page = (status: number) => new Response("<h1>no</h1>", { status, headers: { "content-type": "text/html" } });

Deno.test("error pages in the API's place become JSON, and nothing else changes", async () => {
  const req = new Request("http://localhost/", { method: "PATCH" });
  const refused = asApiError(req, "/api/sessions", page(405));
  assert.equal(refused.status, 405);
  assert.equal((await refused.json()).error.code, "method_not_allowed");
  assert.equal((await asApiError(req, "/api/sessions", page(500)).json()).error.code, "internal");
  for (
    const [path, response] of [
      ["/api/tunnel/s/1/", page(404)],
      ["/apiary", page(405)],
      ["/api/sessions", Response.json({}, { status: 405 })],
      ["/api/sessions", new Response(null, { status: 204 })],
    ] as const
  ) assert.equal(asApiError(req, path, response), response);
});
