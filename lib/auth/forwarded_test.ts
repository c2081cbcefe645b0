import assert from "node:assert/strict";
import { forwardedFor } from "./forwarded.ts";

Deno.test("the last hop counts, whatever a client claims before it", () => {
  const cases: [string | null, string | null][] = [
    [null, null],
    ["", null],
    ["203.0.113.7", "203.0.113.7"],
    ["10.0.0.1, 203.0.113.7", "203.0.113.7"],
    ["203.0.113.7, evil", null],
    ["203.0.113.7:4711", "203.0.113.7"],
    ["2001:db8::1", "2001:db8::1"],
    ["[2001:db8::1]:4711", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
    ["unknown", null],
    ["999.1.1.1", null],
    ["203.0.113.7,", null],
  ];
  for (const [header, expected] of cases) {
    const headers = new Headers(header === null ? {} : { "x-forwarded-for": header });
    assert.equal(forwardedFor(new Request("http://hub.test/", { headers })), expected, String(header));
  }
});
