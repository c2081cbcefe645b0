/** Who used a tunnel: read again every few seconds while it is shown. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { errorText } from "@/client/api.ts";
import { duration } from "@/client/format.ts";
import { accessLog } from "@/client/tunnels.ts";
import { formatBytes } from "@/protocol/byte_rate.ts";
import type { AccessEntry, TunnelInfo } from "@/protocol/tunnel.ts";

const REFRESH_MS = 2_000;

export function TunnelLog({ tunnel: { tunnelId, name } }: { tunnel: TunnelInfo }): JSX.Element {
  const entries = useSignal<AccessEntry[] | null>(null);
  const problem = useSignal<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      if (document.visibilityState === "visible") {
        try {
          const found = await accessLog(tunnelId);
          if (stop.signal.aborted) return;
          entries.value = found;
          problem.value = null;
        } catch (error) {
          problem.value = errorText(error);
        }
      }
      if (!stop.signal.aborted) timer = setTimeout(look, REFRESH_MS);
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [tunnelId]);
  const found = entries.value;
  return (
    <>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      {found?.length === 0 && <p class="quiet">Nobody has used it yet.</p>}
      {found === null && !problem.value && <p class="quiet" role="status">Reading the log…</p>}
      {found !== null && found.length > 0 && (
        <div class="tunnel-log" role="region" aria-label={`Access log of ${name}`} tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">When and who</th>
                <th scope="col">Request</th>
                <th scope="col">Answer</th>
              </tr>
            </thead>
            <tbody>
              {found.map((entry, at) => <Line key={`${entry.at} ${entry.path} ${at}`} entry={entry} />)}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function Line({ entry: { at, who, method, path, status, bytes, ms } }: { entry: AccessEntry }): JSX.Element {
  const isFailed = status !== null && status >= 400;
  const took = ms === null ? "under way" : ms < 1_000 ? `${ms} ms` : duration(ms);
  return (
    <tr class={ms === null ? "is-open" : isFailed ? "is-failed" : ""}>
      <td>
        <time dateTime={new Date(at).toISOString()}>{timeOf(at)}</time>
        <span class="tunnel-log-more">{who}</span>
      </td>
      <td class="tunnel-log-what">
        <code>{method} {path}</code>
        <span class="tunnel-log-more">{formatBytes(bytes)} · {took}</span>
      </td>
      <td class="tunnel-log-status">
        {status ?? "open"}
        {status === 101 && <span class="tunnel-log-more">WebSocket</span>}
      </td>
    </tr>
  );
}

/** The time of day; with its date when that is another day than today. */
function timeOf(at: number): string {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString()
    ? date.toLocaleTimeString()
    : date.toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });
}
