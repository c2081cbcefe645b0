import assert from "node:assert/strict";
import { fragmentSecret, safeNext } from "./auth_links.ts";

Deno.test("secrets are read from fragments", () => {
  assert.deepEqual(fragmentSecret("#setup=abc-123"), { kind: "setup", secret: "abc-123" });
  assert.deepEqual(fragmentSecret("#token=abc"), { kind: "setup", secret: "abc" });
  assert.deepEqual(fragmentSecret("#invite=abc"), { kind: "invite", secret: "abc" });
  assert.deepEqual(fragmentSecret("#abcdefgh"), { kind: "setup", secret: "abcdefgh" });
  assert.deepEqual(fragmentSecret(""), { kind: "none", secret: "" });
});

Deno.test("sign-in leads back to this hub only", () => {
  assert.equal(safeNext("?next=%2Fsession%2Fa"), "/session/a");
  for (const next of ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:1", "", "/a b"]) {
    assert.equal(safeNext(`?next=${encodeURIComponent(next)}`), "/", next);
  }
});
