/** The form that exposes a port. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { exposePort } from "@/client/tunnels.ts";
import { Field } from "./field.tsx";
import { FieldError, useAttempt } from "./use_attempt.ts";

/** A session that a tunnel can belong to. */
export interface SessionChoice {
  sessionId: string;
  title: string;
}

interface ExposeFormProps {
  runnerId: string;
  isConnected: boolean;
  sessionId: string | null;
  sessions: readonly SessionChoice[];
  /** Hosts beside the runner's machine that its owner allows. */
  hosts: readonly string[];
  onDone: () => void;
  /** Absent: the form stays. */
  onCancel?: () => void;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const ends = [["", "When it is closed"], [DAY_MS, "After a day"], [7 * DAY_MS, "After a week"]] as const;
const FIELDS = ["port", "name"];

export function ExposeForm(props: ExposeFormProps): JSX.Element {
  const { runnerId, isConnected, sessionId, sessions, hosts, onDone, onCancel } = props;
  const id = useId();
  const port = useSignal("");
  const name = useSignal("");
  const host = useSignal("");
  const session = useSignal("");
  const ttlMs = useSignal("");
  const { problem, isBusy, attempt } = useAttempt();
  const form = useRef<HTMLFormElement>(null);
  // Who asked for the form wants to type; one that is always there does not take the focus.
  useEffect(() => {
    if (onCancel) form.current?.querySelector("input")?.focus();
  }, []);
  const errorOf = (field: string) => problem.value?.field === field ? problem.value.text : undefined;
  const expose = async (event: Event) => {
    event.preventDefault();
    const isDone = await attempt(async () => {
      const owner = sessionId ?? session.value;
      await exposePort({
        runnerId,
        port: portOf(port.value),
        ...(name.value.trim() === "" ? {} : { name: name.value.trim() }),
        ...(host.value === "" ? {} : { host: host.value }),
        ...(owner === "" ? {} : { sessionId: owner }),
        ...(ttlMs.value === "" ? {} : { ttlMs: Number(ttlMs.value) }),
      });
    });
    if (isDone) onDone();
  };
  return (
    <form ref={form} class="tunnel-form" onSubmit={expose} noValidate aria-label="Expose a port">
      {problem.value && !FIELDS.includes(problem.value.field ?? "") && (
        <p class="refusal" role="alert">{problem.value.text}</p>
      )}
      <div class="tunnel-fields">
        <Field
          label="Port"
          name="port"
          value={port.value}
          onInput={(value) => port.value = value}
          inputMode="numeric"
          placeholder="5173"
          error={errorOf("port")}
        />
        <Field
          label="Name"
          name="name"
          value={name.value}
          onInput={(value) => name.value = value}
          isRequired={false}
          placeholder="optional"
          error={errorOf("name")}
        />
        {sessionId === null && sessions.length > 0 && (
          <div class="form-field">
            <label for={`${id}-session`}>Session</label>
            <select
              id={`${id}-session`}
              class="select"
              value={session.value}
              onChange={(event) => session.value = event.currentTarget.value}
            >
              <option value="">None</option>
              {sessions.map((one) => <option key={one.sessionId} value={one.sessionId}>{one.title}</option>)}
            </select>
          </div>
        )}
      </div>
      <details class="fold-plain">
        <summary>More options</summary>
        <div class="tunnel-fields">
          {hosts.length > 0 && (
            <div class="form-field">
              <label for={`${id}-host`}>Host</label>
              <select
                id={`${id}-host`}
                class="select"
                value={host.value}
                onChange={(event) => host.value = event.currentTarget.value}
              >
                <option value="">This machine</option>
                {hosts.map((one) => <option key={one} value={one}>{one}</option>)}
              </select>
            </div>
          )}
          <div class="form-field">
            <label for={`${id}-end`}>Ends</label>
            <select
              id={`${id}-end`}
              class="select"
              value={ttlMs.value}
              onChange={(event) => ttlMs.value = event.currentTarget.value}
            >
              {ends.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
            </select>
          </div>
        </div>
      </details>
      <div class="button-row">
        <button type="submit" class="button is-primary" disabled={isBusy.value || !isConnected}>
          {isBusy.value ? "Exposing…" : "Expose"}
        </button>
        {onCancel && <button type="button" class="button is-quiet" onClick={onCancel}>Cancel</button>}
      </div>
    </form>
  );
}

/** Throws FieldError. */
function portOf(text: string): number {
  const port = Number(text.trim());
  if (/^\d+$/.test(text.trim()) && port >= 1 && port <= 65_535) return port;
  throw new FieldError("port", "A port is a number from 1 to 65535.");
}
