import assert from "node:assert/strict";
import { isValidPassword, validatePassword } from "./password.ts";

Deno.test("a password needs 8 to 128 code points, an upper-case and a lower-case letter and a digit", () => {
  assert.equal(isValidPassword("Perch123"), true);
  for (
    const [password, ruleId] of [["Perch12", "min_length"], ["perch123", "uppercase"], ["PERCH123", "lowercase"], [
      "Perchper",
      "digit",
    ], ["Aa1" + "x".repeat(126), "max_length"]] as const
  ) {
    const check = validatePassword(password);
    assert.equal(check.isValid, false, password);
    assert.deepEqual(check.rules.filter((rule) => !rule.isMet).map((rule) => rule.id), [ruleId]);
  }
});

Deno.test("an emoji counts as one character, letters and digits of any script count", () => {
  assert.equal(isValidPassword("Aa1🐟🐟🐟🐟"), false);
  assert.equal(isValidPassword("Aa1🐟🐟🐟🐟🐟"), true);
  assert.equal(isValidPassword("Ärger١ßüö"), true);
});
