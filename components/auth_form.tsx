/** Set-up, sign-in and sign-up: the same small form with different fields. */
import { useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { isValidPassword } from "@/protocol/password.ts";
import { Anything, api, ApiError, errorText } from "@/client/api.ts";
import { fragmentSecret, safeNext } from "@/client/auth_links.ts";
import { Field } from "./field.tsx";
import { PasswordRules } from "./password_rules.tsx";

const SignupStatus = z.object({ needsSetup: z.boolean(), isOpen: z.boolean() });

export type AuthPurpose = "setup" | "login" | "signup";

const texts: Record<AuthPurpose, { title: string; intro: string; action: string }> = {
  setup: {
    title: "Set up this hub",
    intro: "Make the first account. It is yours alone; sign-up is closed after it.",
    action: "Create account",
  },
  login: { title: "Sign in", intro: "", action: "Sign in" },
  signup: { title: "Create an account", intro: "", action: "Create account" },
};

export function AuthFormView({ purpose: given }: { purpose: AuthPurpose }): JSX.Element {
  const purpose = useSignal(given);
  const secret = useSignal("");
  const isReady = useSignal(false);
  const name = useSignal("");
  const email = useSignal("");
  const password = useSignal("");
  const isBusy = useSignal(false);
  const problem = useSignal<{ field?: string | undefined; text: string } | null>(null);
  const isOpen = useSignal<boolean | null>(null);
  useEffect(() => {
    const found = fragmentSecret(location.hash);
    secret.value = found.secret;
    if (found.kind === "invite") purpose.value = "signup";
    isReady.value = true;
    api(SignupStatus, "GET", "/api/signup-status").then((status) => {
      isOpen.value = status.isOpen;
      if (status.needsSetup && given === "login") location.replace("/setup");
    }, () => {});
  }, []);
  const { title, intro, action } = texts[purpose.value];
  const isNew = purpose.value !== "login";
  const isClosed = purpose.value === "signup" && isOpen.value === false && secret.value === "";
  const isLinkMissing = isReady.value && purpose.value === "setup" && secret.value === "";
  const errorOf = (field: string) => problem.value?.field === field ? problem.value.text : undefined;
  const isFieldError = ["name", "email", "password"].includes(problem.value?.field ?? "");

  const submit = async (event: Event) => {
    event.preventDefault();
    if (isBusy.value) return;
    if (isNew && !isValidPassword(password.value)) {
      problem.value = { field: "password", text: "The password does not meet every rule below." };
      return;
    }
    isBusy.value = true;
    problem.value = null;
    const login = { email: email.value.trim(), password: password.value };
    const account = { name: name.value.trim(), ...login };
    try {
      if (purpose.value === "setup") await api(Anything, "POST", "/api/setup", { token: secret.value, ...account });
      else if (purpose.value === "login") await api(Anything, "POST", "/api/auth/sign-in/email", login);
      else {
        const invite = secret.value === "" ? {} : { inviteToken: secret.value };
        await api(Anything, "POST", "/api/auth/sign-up/email", { ...account, ...invite });
      }
      location.replace(safeNext(location.search));
    } catch (error) {
      problem.value = { field: error instanceof ApiError ? error.field : undefined, text: errorText(error) };
      isBusy.value = false;
    }
  };

  return (
    <form class="auth-form" onSubmit={submit}>
      <h1>{title}</h1>
      {intro && <p class="quiet">{intro}</p>}
      {isLinkMissing && (
        <p class="refusal" role="alert">
          This page needs the one-time link that the hub printed when it started. Open that link, or start the hub again
          for a new one.
        </p>
      )}
      {isClosed && (
        <p class="refusal" role="alert">
          Sign-up is closed on this hub. Ask somebody who has an account for an invite, and open its link.
        </p>
      )}
      {problem.value && !isFieldError && <p class="refusal" role="alert">{problem.value.text}</p>}
      {isNew && (
        <Field
          label="Name"
          name="name"
          value={name.value}
          onInput={(value) => name.value = value}
          autocomplete="name"
          error={errorOf("name")}
          hasFocus
        />
      )}
      <Field
        label="Email"
        name="email"
        type="email"
        value={email.value}
        onInput={(value) => email.value = value}
        autocomplete="username"
        error={errorOf("email")}
        hasFocus={!isNew}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        value={password.value}
        onInput={(value) => password.value = value}
        autocomplete={isNew ? "new-password" : "current-password"}
        error={errorOf("password")}
      />
      {isNew && <PasswordRules password={password.value} />}
      <button type="submit" class="button is-primary is-wide" disabled={isBusy.value || isLinkMissing || isClosed}>
        {isBusy.value ? "One moment…" : action}
      </button>
      {purpose.value === "login" && isOpen.value && <a href="/signup">Create an account</a>}
      {purpose.value === "signup" && <a href="/login">I have an account</a>}
    </form>
  );
}
