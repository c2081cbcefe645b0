import assert from "node:assert/strict";
import denoJson from "../deno.json" with { type: "json" };
import { compareSemver, isProtocolCompatible, parseSemverTriplet, PERCH_VERSION, PROTOCOL_VERSION } from "./version.ts";

Deno.test("the version here is deno.json's", () => assert.equal(PERCH_VERSION, denoJson.version));

Deno.test("only a different integer is an incompatible protocol", () => {
  for (const version of [undefined, null, "", "abc", "1.5", {}, PROTOCOL_VERSION, String(PROTOCOL_VERSION)]) {
    assert.equal(isProtocolCompatible(version), true, String(version));
  }
  assert.equal(isProtocolCompatible(PROTOCOL_VERSION + 1), false);
  assert.equal(isProtocolCompatible("0"), false);
});

Deno.test("semver triplets are parsed and compared by number", () => {
  assert.deepEqual(parseSemverTriplet("v1.22.333-rc.1+build"), [1, 22, 333]);
  for (const bad of ["1.2", "x.y.z", "1.2.3.4", ""]) assert.equal(parseSemverTriplet(bad), null);
  assert.ok(compareSemver("1.10.0", "1.9.9")! > 0);
  assert.equal(compareSemver("1.0.0-rc.1", "1.0.0"), 0);
  assert.equal(compareSemver("1.0", "1.0.0"), null);
});
