/** Name and limits of a tunnel. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { changeTunnel } from "@/client/tunnels.ts";
import { formatByteRate, parseByteRate } from "@/protocol/byte_rate.ts";
import { type TunnelBounds, type TunnelInfo, tunnelLimits } from "@/protocol/tunnel.ts";
import { Field } from "./field.tsx";
import { FieldError, useAttempt } from "./use_attempt.ts";

const FIELDS = ["name", "bounds.connections", "bounds.bytesPerS"];

export function TunnelSettings({ tunnel, onChange }: { tunnel: TunnelInfo; onChange: () => void }): JSX.Element {
  const shownRate = tunnel.bounds.bytesPerS === null ? "" : formatByteRate(tunnel.bounds.bytesPerS);
  const name = useSignal(tunnel.name);
  const connections = useSignal(String(tunnel.bounds.connections));
  const rate = useSignal(shownRate);
  const isSaved = useSignal(false);
  const { problem, isBusy, attempt } = useAttempt();
  const errorOf = (field: string) => problem.value?.field === field ? problem.value.text : undefined;
  const save = async (event: Event) => {
    event.preventDefault();
    isSaved.value = false;
    const isDone = await attempt(async () => {
      // What is shown of a rate is rounded: one that nobody touched stays what it is.
      const bounds: Partial<TunnelBounds> = {
        connections: connectionsOf(connections.value),
        ...(rate.value === shownRate ? {} : { bytesPerS: bytesPerSOf(rate.value) }),
      };
      await changeTunnel(tunnel.tunnelId, { name: nameOf(name.value), bounds });
    });
    if (!isDone) return;
    isSaved.value = true;
    onChange();
  };
  const edit = (field: typeof name) => (value: string) => {
    field.value = value;
    isSaved.value = false;
  };
  return (
    <form class="tunnel-form" onSubmit={save} noValidate aria-label={`Settings of ${tunnel.name}`}>
      <div class="tunnel-fields">
        <Field label="Name" name="name" value={name.value} onInput={edit(name)} error={errorOf("name")} />
        <Field
          label="Requests at once"
          name="connections"
          value={connections.value}
          onInput={edit(connections)}
          inputMode="numeric"
          hint={`WebSockets count, too. At most ${tunnelLimits.maxConnections}.`}
          error={errorOf("bounds.connections")}
        />
        <Field
          label="Speed"
          name="rate"
          value={rate.value}
          onInput={edit(rate)}
          isRequired={false}
          placeholder="unlimited"
          hint="Both directions together, such as 500 kB/s or 2 MB/s."
          error={errorOf("bounds.bytesPerS")}
        />
      </div>
      {problem.value && !FIELDS.includes(problem.value.field ?? "") && (
        <p class="problem" role="alert">{problem.value.text}</p>
      )}
      <div class="button-row">
        <button type="submit" class="button" disabled={isBusy.value}>Save</button>
        <span class="quiet" role="status">{isSaved.value ? "Saved" : ""}</span>
      </div>
    </form>
  );
}

/** Throws FieldError. */
function nameOf(text: string): string {
  const name = text.trim();
  if (name === "") throw new FieldError("name", "A tunnel needs a name.");
  return name;
}

/** Throws FieldError. */
function connectionsOf(text: string): number {
  const count = Number(text.trim());
  if (/^\d+$/.test(text.trim()) && count >= 1 && count <= tunnelLimits.maxConnections) return count;
  throw new FieldError(
    "bounds.connections",
    `Requests at once are a number from 1 to ${tunnelLimits.maxConnections}.`,
  );
}

/** Null: as fast as it goes. Throws FieldError. */
function bytesPerSOf(text: string): number | null {
  if (text.trim() === "") return null;
  const bytesPerS = parseByteRate(text);
  const { minBytesPerS, maxBytesPerS } = tunnelLimits;
  if (bytesPerS !== null && bytesPerS >= minBytesPerS && bytesPerS <= maxBytesPerS) return bytesPerS;
  throw new FieldError(
    "bounds.bytesPerS",
    bytesPerS === null
      ? "Write a speed like 500 kB/s or 2 MB/s, or leave it empty."
      : `A speed is from ${formatByteRate(minBytesPerS)} to ${formatByteRate(maxBytesPerS)}.`,
  );
}
