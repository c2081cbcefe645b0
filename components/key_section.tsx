/** API keys: made here, shown once, revoked here. */
import { useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import { Anything, api } from "@/client/api.ts";
import { relativeTime } from "@/client/format.ts";
import { Command } from "./connect_runner.tsx";
import { Field } from "./field.tsx";
import { useList } from "./use_list.ts";
import { useNow } from "./use_now.ts";

const KeyInfo = z.object({
  id: z.string(),
  name: z.string(),
  prefix: z.string(),
  createdAt: z.number(),
  lastUsedAt: z.nullable(z.number()),
  expiresAt: z.nullable(z.number()),
});
const KeyList = z.object({ keys: z.array(KeyInfo) });
const MadeKey = z.object({ id: z.string(), name: z.string(), key: z.string() });
const NAME_MAX = 100;

export function KeySection(): JSX.Element {
  const { items: keys, problem, change } = useList(async () => (await api(KeyList, "GET", "/api/keys")).keys);
  const made = useSignal<z.infer<typeof MadeKey> | null>(null);
  const name = useSignal("");
  const now = useNow();
  const create = (event: Event) => {
    event.preventDefault();
    change(async () => {
      made.value = await api(MadeKey, "POST", "/api/keys", { name: name.value.trim().slice(0, NAME_MAX) });
      name.value = "";
    });
  };
  const used = (at: number | null) => {
    if (at === null) return "never used";
    const ago = relativeTime(at, now);
    return ago === "now" ? "used just now" : `used ${ago} ago`;
  };
  return (
    <section class="panel">
      <h2>API keys</h2>
      <p class="quiet">
        For runners and scripts, as <code>Authorization: Bearer …</code>. Each machine should have its own.
      </p>
      {made.value && (
        <div class="shown-once" role="status">
          <p>
            <strong>{made.value.name}</strong>: copy the key now, it is not shown again.
          </p>
          <Command text={made.value.key} />
        </div>
      )}
      {keys.value && keys.value.length > 0 && (
        <ul class="rows">
          {keys.value.map((key) => (
            <li key={key.id} class="panel-row">
              <div>
                <p>
                  <strong>{key.name}</strong> <code>{key.prefix}…</code>
                </p>
                <p class="quiet">
                  {used(key.lastUsedAt)} · made {new Date(key.createdAt).toLocaleDateString()}
                  {key.expiresAt !== null && ` · expires ${new Date(key.expiresAt).toLocaleDateString()}`}
                </p>
              </div>
              <button
                type="button"
                class="button is-danger-quiet is-small"
                aria-label={`Revoke ${key.name}`}
                onClick={() => change(() => api(Anything, "DELETE", `/api/keys/${encodeURIComponent(key.id)}`))}
              >
                Revoke
              </button>
            </li>
          ))}
        </ul>
      )}
      <form class="inline-form" onSubmit={create}>
        <Field
          label="Name of a new key"
          name="key-name"
          value={name.value}
          onInput={(value) => name.value = value}
          placeholder="build server"
        />
        <button type="submit" class="button" disabled={name.value.trim() === ""}>Create key</button>
      </form>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
    </section>
  );
}
