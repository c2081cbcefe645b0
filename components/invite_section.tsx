/** Invites: links with which other people make accounts of their own on this hub. */
import { useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import { Anything, api } from "@/client/api.ts";
import { Command } from "./connect_runner.tsx";
import { Field } from "./field.tsx";
import { useList } from "./use_list.ts";

const Invite = z.object({
  inviteId: z.string(),
  email: z.nullable(z.string()),
  createdAt: z.number(),
  expiresAt: z.number(),
});
const InviteList = z.object({ invites: z.array(Invite) });
const MadeInvite = z.object({ inviteId: z.string(), url: z.string(), expiresAt: z.number() });

export function InviteSection(): JSX.Element {
  const { items: invites, problem, change } = useList(async () =>
    (await api(InviteList, "GET", "/api/invites")).invites
  );
  const made = useSignal<z.infer<typeof MadeInvite> | null>(null);
  const email = useSignal("");
  const create = (event: Event) => {
    event.preventDefault();
    change(async () => {
      const only = email.value.trim();
      made.value = await api(MadeInvite, "POST", "/api/invites", only === "" ? {} : { email: only });
      email.value = "";
    });
  };
  return (
    <section class="panel">
      <h2>Invites</h2>
      <p class="quiet">A person you invite gets an account of their own. They see nothing of yours.</p>
      {made.value && (
        <div class="shown-once" role="status">
          <p>
            Send this link. It works once, until{" "}
            {new Date(made.value.expiresAt).toLocaleString()}, and is not shown again.
          </p>
          <Command text={made.value.url} />
        </div>
      )}
      {invites.value && invites.value.length > 0 && (
        <ul class="rows">
          {invites.value.map((invite) => (
            <li key={invite.inviteId} class="panel-row">
              <div>
                <p>
                  <strong>{invite.email ?? "Anyone with the link"}</strong>
                </p>
                <p class="quiet">open until {new Date(invite.expiresAt).toLocaleString()}</p>
              </div>
              <button
                type="button"
                class="button is-danger-quiet is-small"
                onClick={() =>
                  change(() => api(Anything, "DELETE", `/api/invites/${encodeURIComponent(invite.inviteId)}`))}
              >
                Revoke
              </button>
            </li>
          ))}
        </ul>
      )}
      <form class="inline-form" onSubmit={create}>
        <Field
          label="Only for this email (may stay empty)"
          name="invite-email"
          type="email"
          value={email.value}
          onInput={(value) => email.value = value}
          isRequired={false}
        />
        <button type="submit" class="button">Create invite</button>
      </form>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
    </section>
  );
}
