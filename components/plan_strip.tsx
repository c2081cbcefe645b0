/** The agent's plan, folded to what it does now. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import type { PlanEntry } from "@/protocol/meta.ts";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";

const marks: Record<PlanEntry["status"], { sign: string; word: string }> = {
  pending: { sign: "○", word: "to do" },
  in_progress: { sign: "◐", word: "in progress" },
  completed: { sign: "✓", word: "done" },
  cancelled: { sign: "✕", word: "dropped" },
};

export function PlanStrip(): JSX.Element | null {
  const { store } = useSession();
  const isShown = useSignal(false);
  const { plan } = store.meta.value;
  if (plan.length === 0) return null;
  const done = plan.filter(({ status }) => status === "completed" || status === "cancelled").length;
  if (done === plan.length) return null;
  const current = plan.find(({ status }) => status === "in_progress") ??
    plan.find(({ status }) => status === "pending");
  return (
    <details
      class="strip plan"
      open={isShown.value}
      onToggle={(event) => isShown.value = event.currentTarget.open}
    >
      <summary>
        <Icon name="plan" />
        <span class="plan-count">Plan {done}/{plan.length}</span>
        <span class="plan-current">{current?.content}</span>
        <Icon name="chevron" />
      </summary>
      <ol>
        {plan.map((entry, at) => (
          <li key={at} class={`is-${entry.status}`}>
            <span class="plan-mark" role="img" aria-label={marks[entry.status].word}>{marks[entry.status].sign}</span>
            <span class="plan-text">{entry.content}</span>
          </li>
        ))}
      </ol>
    </details>
  );
}
