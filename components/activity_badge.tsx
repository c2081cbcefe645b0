/** What a session is doing: a shape and a word, never a colour alone. */
import type { JSX } from "preact";
import type { Activity } from "@/protocol/shared.ts";

const words: Record<Activity, string> = {
  starting: "Starting",
  working: "Working",
  waiting: "Waits for you",
  idle: "Idle",
  ended: "Ended",
};

export function ActivityBadge({ activity }: { activity: Activity }): JSX.Element {
  return (
    <span class={`activity is-${activity}`}>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false">
        <ActivityShape activity={activity} />
      </svg>
      {words[activity]}
    </span>
  );
}

function ActivityShape({ activity }: { activity: Activity }): JSX.Element {
  switch (activity) {
    case "starting":
      return <circle class="shape-line shape-dashed" cx="6" cy="6" r="4.2" />;
    case "working":
      return (
        <>
          <circle class="shape-line shape-faint" cx="6" cy="6" r="4.2" />
          <path class="shape-line shape-turning" d="M6 1.8A4.200 4.200 0 0 1 10.200 6" />
        </>
      );
    case "waiting":
      return <path class="shape-fill" d="M6 .8 11.200 6 6 11.200.8 6z" />;
    case "idle":
      return <circle class="shape-line" cx="6" cy="6" r="4.2" />;
    case "ended":
      return <path class="shape-line" d="M2.500 2.500h7v7h-7z" />;
  }
}
