/** Share links of a tunnel: for whoever has one, until it expires or is removed. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { shareTunnel, unshareTunnel } from "@/client/tunnels.ts";
import { type TunnelInfo, tunnelLimits } from "@/protocol/tunnel.ts";
import { Command } from "./connect_runner.tsx";
import { Field } from "./field.tsx";
import { useAttempt } from "./use_attempt.ts";

const HOUR_MS = 60 * 60 * 1000;
const expiries = [
  [HOUR_MS, "In an hour"],
  [24 * HOUR_MS, "In a day"],
  [7 * 24 * HOUR_MS, "In a week"],
  [30 * 24 * HOUR_MS, "In 30 days"],
] as const;

export function TunnelShares({ tunnel, onChange }: { tunnel: TunnelInfo; onChange: () => void }): JSX.Element {
  const id = useId();
  const made = useSignal<{ name: string; url: string } | null>(null);
  const name = useSignal("");
  const password = useSignal("");
  const ttlMs = useSignal(String(24 * HOUR_MS));
  const { problem, isBusy, attempt } = useAttempt();
  const errorOf = (field: string) => problem.value?.field === field ? problem.value.text : undefined;
  if (tunnel.address?.form !== "origin") {
    return (
      <p class="quiet">
        Tunnels have no address of their own on this hub, so they cannot be shared. Its operator can set
        PERCH_TUNNEL_DOMAIN.
      </p>
    );
  }
  const create = async (event: Event) => {
    event.preventDefault();
    const isDone = await attempt(async () => {
      const { share, url } = await shareTunnel(tunnel.tunnelId, {
        ttlMs: Number(ttlMs.value),
        ...(name.value.trim() === "" ? {} : { name: name.value.trim() }),
        ...(password.value === "" ? {} : { password: password.value }),
      });
      made.value = { name: share.name, url };
    });
    if (!isDone) return;
    name.value = password.value = "";
    onChange();
  };
  const remove = async (shareId: string) => {
    if (await attempt(() => unshareTunnel(tunnel.tunnelId, shareId))) onChange();
  };
  return (
    <>
      {made.value && (
        <div class="shown-once" role="status">
          <p>
            <strong>{made.value.name}</strong>: copy the link now, it is not shown again.
          </p>
          <Command text={made.value.url} />
        </div>
      )}
      {tunnel.shares.length > 0 && (
        <ul class="rows">
          {tunnel.shares.map((share) => (
            <li key={share.shareId} class="panel-row">
              <div class="tunnel-share">
                <strong>{share.name}</strong>
                <p class="quiet">
                  until {new Date(share.expiresAt).toLocaleString()}
                  {share.hasPassword && " · with a password"}
                </p>
              </div>
              <button
                type="button"
                class="button is-danger-quiet is-small"
                aria-label={`Remove ${share.name}`}
                disabled={isBusy.value}
                onClick={() => remove(share.shareId)}
              >
                Remove
              </button>
            </li>
          ))}
        </ul>
      )}
      <form class="tunnel-form" onSubmit={create} aria-label={`Share ${tunnel.name}`}>
        <div class="tunnel-fields">
          <Field
            label="For"
            name="share-name"
            value={name.value}
            onInput={(value) => name.value = value}
            isRequired={false}
            placeholder={`Link ${tunnel.shares.length + 1}`}
            error={errorOf("name")}
          />
          <div class="form-field">
            <label for={`${id}-expiry`}>Ends</label>
            <select
              id={`${id}-expiry`}
              class="select"
              value={ttlMs.value}
              onChange={(event) => ttlMs.value = event.currentTarget.value}
            >
              {expiries.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
            </select>
          </div>
          <Field
            label="Password"
            name="share-password"
            type="password"
            autocomplete="new-password"
            value={password.value}
            onInput={(value) => password.value = value.slice(0, tunnelLimits.sharePasswordChars)}
            isRequired={false}
            placeholder="optional"
            error={errorOf("password")}
          />
        </div>
        {problem.value && !["name", "password"].includes(problem.value.field ?? "") && (
          <p class="problem" role="alert">{problem.value.text}</p>
        )}
        <div class="button-row">
          <button type="submit" class="button" disabled={isBusy.value}>Create link</button>
        </div>
      </form>
    </>
  );
}
