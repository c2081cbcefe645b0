import assert from "node:assert/strict";
import { framedBy, hubAncestors } from "./framing.ts";

Deno.test("framing - by the hub's pages, wherever they are, and by nobody else", () => {
  assert.equal(hubAncestors("https://perch.example:8443/", "x.tunnels.example"), "'self' https://perch.example:8443");
  assert.equal(
    hubAncestors(undefined, "x.localhost:7700"),
    "'self' http://localhost:7700 http://127.0.0.1:7700",
  );
  assert.equal(hubAncestors(undefined, "x.tunnels.example"), null);
  const own: [string, string] = ["content-security-policy", "frame-ancestors 'self' https://perch.example"];
  const framed = (...headers: [string, string][]) => framedBy("'self' https://perch.example", headers);
  assert.deepEqual(framed(["content-type", "text/html"], ["X", "y"], ["x-frame-options", "DENY"]), [
    ["content-type", "text/html"],
    ["X", "y"],
    own,
  ]);
  assert.deepEqual(framed(), [own]);
  assert.deepEqual(framed(["content-type", "image/png"]), [["content-type", "image/png"]]);
  const policies: [string, string | null][] = [
    ["frame-ancestors 'none'", null],
    ["Frame-Ancestors 'none'; default-src 'self'", "default-src 'self'"],
    ["default-src 'self';frame-ancestors *;img-src *", "default-src 'self';img-src *"],
    ["frame-ancestors 'none', script-src 'self'; frame-ancestors", "script-src 'self'"],
    ["default-src 'self'; report-uri /frame-ancestors", "default-src 'self'; report-uri /frame-ancestors"],
  ];
  for (const [policy, expected] of policies) {
    const left = framed(["content-security-policy", policy]);
    assert.deepEqual(left, [...expected === null ? [] : [["content-security-policy", expected]], own], policy);
  }
});
