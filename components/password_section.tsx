/** Changes the password; other browsers are signed out. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { isValidPassword } from "@/protocol/password.ts";
import { Anything, api, errorText } from "@/client/api.ts";
import { Field } from "./field.tsx";
import { PasswordRules } from "./password_rules.tsx";

export function PasswordSection(): JSX.Element {
  const current = useSignal("");
  const next = useSignal("");
  const problem = useSignal<string | null>(null);
  const isDone = useSignal(false);
  const change = async (event: Event) => {
    event.preventDefault();
    problem.value = null;
    try {
      await api(Anything, "POST", "/api/auth/change-password", {
        currentPassword: current.value,
        newPassword: next.value,
      });
      current.value = next.value = "";
      isDone.value = true;
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <section class="panel">
      <h2>Password</h2>
      <form onSubmit={change} class="stack">
        <Field
          label="Current password"
          name="current-password"
          type="password"
          autocomplete="current-password"
          value={current.value}
          onInput={(value) => current.value = value}
        />
        <Field
          label="New password"
          name="new-password"
          type="password"
          autocomplete="new-password"
          value={next.value}
          onInput={(value) => {
            next.value = value;
            isDone.value = false;
          }}
        />
        {next.value !== "" && <PasswordRules password={next.value} />}
        <div class="button-row">
          <button type="submit" class="button" disabled={current.value === "" || !isValidPassword(next.value)}>
            Change password
          </button>
          <span role="status" class="quiet">{isDone.value ? "Changed. Other browsers are signed out." : ""}</span>
        </div>
        {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      </form>
    </section>
  );
}
