/** The password rules, each with a mark and a word as it is met. */
import type { JSX } from "preact";
import { validatePassword } from "@/protocol/password.ts";

export function PasswordRules({ password }: { password: string }): JSX.Element {
  const rules = validatePassword(password).rules.filter(({ id, isMet }) => id !== "max_length" || !isMet);
  return (
    <ul class="rules" aria-label="Password rules">
      {rules.map(({ id, label, isMet }) => (
        <li key={id} class={isMet ? "is-met" : ""}>
          <span aria-hidden="true">{isMet ? "✓" : "○"}</span> {label}
          <span class="visually-hidden">{isMet ? " (met)" : " (not met yet)"}</span>
        </li>
      ))}
    </ul>
  );
}
