import assert from "node:assert/strict";
import { frameSources, rawTarget, tunnelOfHost, tunnelOrigin, tunnelPath } from "./address.ts";

const label = "abcdefghijklmnopqrstuvwx27";
const local = { domain: null, scheme: "http", port: null } as const;
const domain = { domain: "tunnels.example", scheme: "https", port: "" } as const;

Deno.test("address - exactly one label before the domain is a tunnel's host", () => {
  assert.deepEqual(tunnelOfHost(`${label}.localhost:7700`, local), { kind: "tunnel", tunnelId: label });
  assert.deepEqual(tunnelOfHost(`${label.toUpperCase()}.LOCALHOST.`, local), { kind: "tunnel", tunnelId: label });
  assert.deepEqual(tunnelOfHost(`${label}.tunnels.example`, domain), { kind: "tunnel", tunnelId: label });
  for (const host of [`a.${label}.tunnels.example`, "www.tunnels.example", `${label}x.tunnels.example`]) {
    assert.deepEqual(tunnelOfHost(host, domain), { kind: "foreign" }, host);
  }
  for (
    const host of [
      "localhost:7700",
      "tunnels.example",
      `${label}.eviltunnels.example`,
      `${label}.tunnels.example.evil.example`,
      "",
      label,
    ]
  ) {
    assert.deepEqual(tunnelOfHost(host, domain), { kind: "hub" }, host);
  }
});

Deno.test("address - origins and what may be framed", () => {
  assert.equal(tunnelOrigin(label, "localhost:7700", local), `http://${label}.localhost:7700`);
  assert.equal(tunnelOrigin(label, "192.0.2.1:7700", local), null);
  assert.equal(tunnelOrigin(label, "perch.example", domain), `https://${label}.tunnels.example`);
  assert.equal(frameSources(local, "127.0.0.1:7700"), "http://*.localhost:7700");
  assert.equal(frameSources(local, "192.0.2.1:7700"), "192.0.2.1:7700/api/tunnel/");
  assert.equal(frameSources(local, "[2001:db8::1]:7700"), "'self'");
  for (const host of ["a b", "a;script-src *", "a,b", "'self'", ""]) {
    assert.equal(frameSources(local, host), "'none'", host);
  }
  assert.equal(frameSources(domain, "perch.example"), "https://*.tunnels.example");
});

Deno.test("address - targets are taken as they were sent", () => {
  assert.equal(rawTarget("http://h/a/../b?c=//d"), "/a/../b?c=//d");
  assert.deepEqual(tunnelPath("/api/tunnel/s-1/80/../x"), {
    sessionId: "s-1",
    port: 80,
    prefix: "/api/tunnel/s-1/80",
    target: "/../x",
  });
  assert.equal(tunnelPath("/api/tunnel/s-1/80x/"), null);
  assert.equal(tunnelPath("/api/tunnel/s%2f1/80/"), null);
  assert.equal(tunnelPath("/api/tunnel/s-1/80?q=1")?.target, "/?q=1");
});
