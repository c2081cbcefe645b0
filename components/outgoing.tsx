/** Prompts that are not in the timeline yet, and commands that were refused: nothing sent is ever invisible. */
import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import type { SessionCommand } from "@/protocol/command.ts";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";

interface Ghost {
  op: string;
  text: string;
  from: string | undefined;
  state: string;
}

const names: Record<SessionCommand["kind"], string> = {
  prompt: "Prompt",
  cancel: "Stop",
  answer: "Answer",
  set_model: "Change of model",
  set_mode: "Change of mode",
  set_config_option: "Change of option",
  set_thinking_level: "Change of thinking level",
  compact: "Compaction",
  new_conversation: "New conversation",
  rename: "New name",
  unqueue: "Removal from the queue",
};

/** Prompts of this and other devices that are on their way, at the end of the timeline. */
export function Ghosts(): JSX.Element {
  const { store } = useSession();
  const ghosts = useComputed(() => {
    const found = new Map<string, Ghost>();
    const isRunnerThere = store.info.value?.isActive !== false;
    const waiting = isRunnerThere ? "The hub has it" : "The hub has it; it waits for the runner";
    for (const { op, command, from } of store.inbox.value.values()) {
      if (command?.kind === "prompt") found.set(op, { op, text: command.text, from, state: waiting });
    }
    const isLive = store.connection.value.kind === "live";
    for (const { op, sessionId, command, status } of store.outgoing.value) {
      if (sessionId !== store.sessionId || command.kind !== "prompt") continue;
      if (status === "sending") {
        found.set(op, {
          op,
          text: command.text,
          from: undefined,
          state: isLive ? "Sending…" : "Kept here; it is sent when the connection is back",
        });
      } else if (status === "accepted" || status === "applied") {
        found.set(op, {
          op,
          text: command.text,
          from: undefined,
          state: status === "applied" ? "The agent has it" : waiting,
        });
      }
    }
    const queued = new Set(store.meta.value.queue.map((prompt) => prompt.op));
    return [...found.values()].filter(({ op }) => !store.landedOps.value.has(op) && !queued.has(op));
  });
  return (
    <>
      {ghosts.value.map(({ op, text, from, state }) => (
        <article key={op} class="user-message is-ghost">
          <div class="user-text">{text}</div>
          <p class="message-label" role="status">{from ? `${from}: ` : ""}{state}</p>
        </article>
      ))}
    </>
  );
}

/** Commands that the runner or hub refused, until a person has read why. */
export function Refusals(): JSX.Element {
  const { store } = useSession();
  const refused = useComputed(() =>
    store.outgoing.value.filter(({ status, command }) =>
      (status === "rejected" || status === "expired") && command.kind !== "answer"
    )
  );
  return (
    <>
      {refused.value.map(({ op, command, reason, status }) => (
        <div key={op} class="refusal" role="alert">
          <Icon name="warning" />
          <p>
            <strong>{names[command.kind]} {status === "expired" ? "expired" : "not accepted"}.</strong>{" "}
            {reason ?? (status === "expired" ? "The runner was not there in time." : "")}
          </p>
          <button type="button" class="button is-quiet is-icon" aria-label="Dismiss" onClick={() => store.forget(op)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </>
  );
}

/** Prompts that wait inside the agent for their turn. */
export function QueueList(): JSX.Element | null {
  const { store } = useSession();
  const { queue } = store.meta.value;
  if (queue.length === 0) return null;
  return (
    <section class="strip" aria-label="Queued prompts">
      <ul class="queue">
        {queue.map((prompt) => (
          <li key={prompt.op}>
            <span class="tag">{prompt.delivery === "steer" ? "steers" : "next"}</span>
            <span class="queue-text">{prompt.text}</span>
            <button
              type="button"
              class="button is-quiet is-icon"
              aria-label={`Remove from the queue: ${prompt.text.slice(0, 60)}`}
              onClick={() => store.run({ kind: "unqueue", queuedOp: prompt.op })}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
