/** Share links of a tunnel and who used it. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { errorText } from "@/client/api.ts";
import { accessLog, shareTunnel, unshareTunnel } from "@/client/tunnels.ts";
import type { AccessEntry, TunnelInfo } from "@/protocol/tunnel.ts";

export function TunnelDetails({ tunnel, onChange }: { tunnel: TunnelInfo; onChange: () => void }): JSX.Element {
  const password = useSignal("");
  const link = useSignal<string | null>(null);
  const log = useSignal<AccessEntry[]>([]);
  const problem = useSignal<string | null>(null);
  const attempt = async (work: () => Promise<void>) => {
    problem.value = null;
    try {
      await work();
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  const load = () => attempt(async () => void (log.value = await accessLog(tunnel.tunnelId)));
  return (
    <details class="tunnel-details" onToggle={(event) => event.currentTarget.open && void load()}>
      <summary>Share and log</summary>
      <form
        class="tunnel-form"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(async () => {
            link.value = (await shareTunnel(tunnel.tunnelId, password.value)).url;
            password.value = "";
            onChange();
          });
        }}
      >
        <label>
          Password (optional){" "}
          <input
            type="password"
            autocomplete="off"
            maxLength={256}
            value={password.value}
            onInput={(event) => password.value = event.currentTarget.value}
          />
        </label>
        <button type="submit" class="button">Make a link for a day</button>
      </form>
      {link.value && (
        <p>
          Shown this once:{" "}
          <input
            readOnly
            aria-label="Share link"
            value={link.value}
            onFocus={(event) => event.currentTarget.select()}
          />
        </p>
      )}
      <ul>
        {tunnel.shares.map((share) => (
          <li key={share.shareId}>
            {share.name}, until {new Date(share.expiresAt).toLocaleString()}
            {share.hasPassword && ", with a password"}{" "}
            <button
              type="button"
              class="button is-quiet"
              onClick={() => attempt(() => unshareTunnel(tunnel.tunnelId, share.shareId)).then(onChange)}
            >
              Remove
            </button>
          </li>
        ))}
      </ul>
      <table class="tunnel-log">
        <caption>Newest requests</caption>
        <tbody>
          {log.value.map((entry, at) => (
            <tr key={at}>
              <td>{new Date(entry.at).toLocaleTimeString()}</td>
              <td>{entry.method}</td>
              <td>{entry.path}</td>
              <td>{entry.status}</td>
              <td>{entry.bytes} B</td>
              <td>{entry.who}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
    </details>
  );
}
