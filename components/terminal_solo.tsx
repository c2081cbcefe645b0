/** One terminal with its tools and nothing beside it. Loaded when it is first wanted. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { Anything, api, errorText } from "@/client/api.ts";
import { TerminalScreen } from "./terminal_screen.tsx";
import { TerminalTools } from "./terminal_tools.tsx";

interface TerminalSoloProps {
  runnerId: string;
  terminalId: string;
  /** What stands at the start of its bar. */
  children?: ComponentChildren;
  /** The person has no use for it any more: it is gone for good. */
  onClose: () => void;
}

export function TerminalSolo({ runnerId, terminalId, children, onClose }: TerminalSoloProps): JSX.Element {
  const isSearching = useSignal(false);
  const problem = useSignal<string | null>(null);
  const restart = async () => {
    problem.value = null;
    try {
      await api(Anything, "POST", `/api/terminals/${encodeURIComponent(terminalId)}/restart`, { runnerId });
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <section class="terminal-panel" aria-label="Terminal">
      <header class="terminal-tabs">
        {children}
        <span class="spacer" />
        <TerminalTools isSearching={isSearching} onRestart={restart} />
      </header>
      {problem.value && <p class="terminal-note is-problem" role="alert">{problem.value}</p>}
      <TerminalScreen
        runnerId={runnerId}
        terminalId={terminalId}
        isSearching={isSearching}
        onTitle={() => {}}
        onRestart={restart}
        onClose={onClose}
      />
    </section>
  );
}
