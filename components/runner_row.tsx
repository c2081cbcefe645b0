/** A runner: its name, whether it is there, what it can start. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import type { RunnerInfo } from "@/protocol/shared.ts";
import { Anything, api, errorText } from "@/client/api.ts";
import { plural, relativeTime, shortPath } from "@/client/format.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import { useNow } from "./use_now.ts";

export function RunnerState({ runner }: { runner: RunnerInfo }): JSX.Element {
  const now = useNow();
  const ago = relativeTime(runner.lastSeenAt, now);
  return runner.isConnected
    ? (
      <span class="runner-state is-online">
        <span class="runner-dot" aria-hidden="true" />Online
      </span>
    )
    : (
      <span class="runner-state is-offline">
        <span class="runner-dot" aria-hidden="true" />Offline{runner.lastSeenAt > 0 &&
          `, seen ${ago === "now" ? "just now" : `${ago} ago`}`}
      </span>
    );
}

export function RunnerRow({ runner, isEditable = false }: { runner: RunnerInfo; isEditable?: boolean }): JSX.Element {
  const isRemoving = useSignal(false);
  const waiting = runner.terminals?.attention ?? [];
  const ready = runner.agents.filter(({ available }) => available).map(({ name }) => name);
  return (
    <li class="runner-row">
      <Icon name="machine" />
      <div class="runner-text">
        <p class="runner-line">
          <a class="runner-name" href={`/runner/${encodeURIComponent(runner.runnerId)}`}>{runner.name}</a>
          <RunnerState runner={runner} />
        </p>
        <p class="quiet">
          {runner.platform} · {plural(runner.sessionCount, "session")} · {runner.roots.map(shortPath).join(", ")}
        </p>
        {isEditable && (
          <p class="quiet">Agents: {ready.length > 0 ? ready.join(", ") : "none found"} · version {runner.version}</p>
        )}
        {runner.warnings.map((warning) => <p key={warning} class="problem">{warning}</p>)}
      </div>
      {runner.isConnected && (
        <a
          class="button is-quiet is-icon"
          href={`/terminal/${encodeURIComponent(runner.runnerId)}`}
          aria-label={`Terminal on ${runner.name}${waiting.length > 0 ? `, ${waiting.length} waiting for you` : ""}`}
          title={waiting.length > 0 ? waiting.map(askingText).join("\n") : "Terminal"}
        >
          <Icon name="terminal" />
          {waiting.length > 0 && <span class="attention-dot" aria-hidden="true" />}
        </a>
      )}
      {isEditable && !runner.isConnected && (
        <button
          type="button"
          class="button is-quiet is-small"
          onClick={() => isRemoving.value = true}
        >
          Remove
        </button>
      )}
      {isRemoving.value && <RemoveRunner runner={runner} onClose={() => isRemoving.value = false} />}
    </li>
  );
}

type Asking = NonNullable<RunnerInfo["terminals"]>["attention"][number];

/** Which terminal asks for a person, and with what. */
function askingText({ name, text }: Asking): string {
  return `${name}: ${text === "bell" ? "rang the bell" : text}`;
}

/** The terminals of a runner that ask for a person; nothing when none does. */
export function WaitingTerminals({ runner: { runnerId, terminals } }: { runner: RunnerInfo }): JSX.Element | null {
  const waiting = terminals?.attention ?? [];
  if (waiting.length === 0) return null;
  return (
    <ul class="waiting-terminals" aria-label="Terminals that wait for you">
      {waiting.map((asking) => (
        <li key={asking.terminalId}>
          <a href={`/terminal/${encodeURIComponent(runnerId)}?terminal=${encodeURIComponent(asking.terminalId)}`}>
            <span class="attention-dot" aria-hidden="true" />
            {askingText(asking)}
          </a>
        </li>
      ))}
    </ul>
  );
}

function RemoveRunner({ runner, onClose }: { runner: RunnerInfo; onClose: () => void }): JSX.Element {
  const problem = useSignal<string | null>(null);
  const remove = async () => {
    try {
      await api(Anything, "DELETE", `/api/runners/${encodeURIComponent(runner.runnerId)}`);
      onClose();
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <Dialog title={`Remove ${runner.name}?`} onClose={onClose}>
      <p>It leaves the list. Its sessions stay readable; starting the runner again brings it back.</p>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      <div class="button-row is-end">
        <button type="button" class="button is-danger" onClick={remove}>Remove</button>
      </div>
    </Dialog>
  );
}
