/** Password rules, the same for hub, UI and CLI: 8 to 128 code points, with an upper-case letter, a lower-case letter and a digit. */

export const PASSWORD_MIN = 8;
/** Bounds the work of the password hash. */
export const PASSWORD_MAX = 128;

export interface PasswordCheck {
  isValid: boolean;
  /** One row a rule, in the order in which a form shows them. */
  rules: { id: "min_length" | "max_length" | "uppercase" | "lowercase" | "digit"; label: string; isMet: boolean }[];
}

/** Checks each rule. Length counts Unicode code points, so an emoji is one. */
export function validatePassword(password: string): PasswordCheck {
  const length = [...password].length;
  const rules: PasswordCheck["rules"] = [
    { id: "min_length", label: `at least ${PASSWORD_MIN} characters`, isMet: length >= PASSWORD_MIN },
    { id: "max_length", label: `at most ${PASSWORD_MAX} characters`, isMet: length <= PASSWORD_MAX },
    { id: "uppercase", label: "an upper-case letter", isMet: /\p{Lu}/u.test(password) },
    { id: "lowercase", label: "a lower-case letter", isMet: /\p{Ll}/u.test(password) },
    { id: "digit", label: "a digit", isMet: /\p{Nd}/u.test(password) },
  ];
  return { isValid: rules.every((rule) => rule.isMet), rules };
}

/** Whether every rule is met. */
export function isValidPassword(password: string): boolean {
  return validatePassword(password).isValid;
}
