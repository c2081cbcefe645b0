import fc from "fast-check";
import assert from "node:assert/strict";
import { joinPath, Router } from "./router.ts";

Deno.test("Router - finds what trying every pattern in order would find", () => {
  const part = fc.constantFrom("a", "b", ":x", ":y", "a-:z", "(\\d+)");
  const pattern = fc.uniqueArray(part, { maxLength: 3 }).chain((parts) =>
    fc.constantFrom("", "/*", "/:rest*", "{/:last}?").map((tail) => `/${parts.join("/")}${tail}`.replace(/^\/\//, "/"))
  );
  const path = fc.array(fc.constantFrom("a", "b", "a-b", "7", "c"), { maxLength: 4 }).map((parts) =>
    `/${parts.join("/")}`
  );
  fc.assert(fc.property(fc.uniqueArray(pattern, { maxLength: 6 }), path, (patterns, pathname) => {
    const router = new Router<string>();
    for (const pattern of patterns) router.add("GET", pattern, pattern);
    const isStatic = (pattern: string) => !/[:*{(]/.test(pattern);
    const ordered = [...patterns.filter(isStatic), ...patterns.filter((pattern) => !isStatic(pattern))];
    const expected = ordered.find((pattern) => new URLPattern({ pathname: pattern }).test({ pathname }));
    const match = router.match("GET", new URL(pathname, "http://localhost"));
    assert.equal(match.kind === "found" ? match.value : undefined, expected);
  }));
});

Deno.test("Router - a later pattern with the method wins over an earlier one without it", () => {
  const router = new Router<string>();
  router.add("GET", "/:a", "get");
  router.add("POST", "/:b", "post");
  const match = router.match("POST", new URL("http://localhost/x"));
  assert.deepEqual(match, { kind: "found", pattern: "/:b", params: { b: "x" }, value: "post" });
  const refused = router.match("PUT", new URL("http://localhost/x"));
  assert.deepEqual(refused, { kind: "method-not-allowed", pattern: "/:a", params: { a: "x" }, allowed: ["GET"] });
});

Deno.test("joinPath - one slash between, none at the end", () => {
  const table = [["", "/", "/"], ["/foo", "/", "/foo"], ["/foo/", "/bar/", "/foo/bar"], ["/", "*", "/*"], [
    "/docs",
    "{/:v}?",
    "/docs{/:v}?",
  ]];
  for (const [base, pattern, joined] of table) assert.equal(joinPath(base!, pattern!), joined);
});
