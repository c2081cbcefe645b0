import assert from "node:assert/strict";
import { normalizeUserCode, randomSecret, randomUserCode } from "./secrets.ts";

Deno.test("secrets are 43 base-62 characters and differ", () => {
  const secrets = new Set(Array.from({ length: 200 }, randomSecret));
  assert.equal(secrets.size, 200);
  for (const secret of secrets) assert.match(secret, /^[0-9A-Za-z]{43}$/);
});

Deno.test("user codes hold no letters that are mistaken for others, and are read however they are typed", () => {
  for (let index = 0; index < 200; index++) {
    const code = randomUserCode();
    assert.match(code, /^[BCDFGHJKMNPQRTVWX]{4}-[BCDFGHJKMNPQRTVWX]{4}$/);
    assert.equal(normalizeUserCode(code.toLowerCase().replace("-", "")), code);
    assert.equal(normalizeUserCode(` ${code.replace("-", " - ")} `), code);
  }
});
