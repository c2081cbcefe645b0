/** A session that is a program in a terminal: the terminal is what it shows first, its timeline is one step away. */
import type { JSX } from "preact";
import { terminalAgentId } from "@/protocol/command.ts";
import { useSession } from "./session_context.ts";

/** Whether the session's page shows its terminal now. A session that has ended shows how it ended. */
export function useTerminalView(): { isTerminal: boolean; isShown: boolean } {
  const { store, isTimelineWanted } = useSession();
  const isTerminal = store.info.value?.agent.id === terminalAgentId;
  const isRunning = store.phase.value.kind === "ready" && !["starting", "ended"].includes(store.activity.value);
  return { isTerminal, isShown: isTerminal && isRunning && !isTimelineWanted.value };
}

/** The terminal as the session's main view. */
export function SessionTerminal(): JSX.Element {
  const { store, mainTerminal, isTimelineWanted } = useSession();
  const runnerId = store.info.value?.runnerId;
  const TerminalSolo = mainTerminal.module.value?.TerminalSolo;
  if (!runnerId || !TerminalSolo) {
    return (
      <p class="session-terminal quiet centered" role="status">
        {mainTerminal.hasFailed.value ? "The terminal could not be loaded. Reload this page." : "Opening the terminal…"}
      </p>
    );
  }
  return (
    <div class="session-terminal">
      <TerminalSolo
        runnerId={runnerId}
        terminalId={store.sessionId}
        onClose={() => isTimelineWanted.value = true}
      >
        <span class="terminal-tab is-current">
          <button type="button" aria-pressed="true">Terminal</button>
        </span>
        <span class="terminal-tab">
          <button type="button" aria-pressed="false" onClick={() => isTimelineWanted.value = true}>Timeline</button>
        </span>
      </TerminalSolo>
    </div>
  );
}

/** From the timeline back to the terminal. */
export function BackToTerminal(): JSX.Element {
  const { isTimelineWanted } = useSession();
  return (
    <div class="session-views" role="group" aria-label="Views">
      <button
        type="button"
        class="button is-quiet is-small"
        aria-pressed="false"
        onClick={() => isTimelineWanted.value = false}
      >
        Terminal
      </button>
      <button type="button" class="button is-small" aria-pressed="true">Timeline</button>
    </div>
  );
}
