/** One terminal with its tools and nothing beside it. Loaded when it is first wanted. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { Anything, api, errorText } from "@/client/api.ts";
import { allowClipboard, isClipboardAllowed } from "@/client/terminal_view.ts";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";
import { TerminalScreen } from "./terminal_screen.tsx";

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
  const mayCopy = useSignal(isClipboardAllowed());
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
        <button
          type="button"
          class="button is-quiet is-icon"
          aria-label="Find"
          aria-pressed={isSearching.value}
          onClick={() => isSearching.value = !isSearching.value}
        >
          <Icon name="search" />
        </button>
        <Menu label="Terminal menu">
          <button type="button" onClick={restart}>
            <Icon name="execute" />Restart the program
          </button>
          <button
            type="button"
            aria-pressed={mayCopy.value}
            onClick={() => {
              allowClipboard(!mayCopy.value);
              mayCopy.value = !mayCopy.value;
            }}
          >
            <Icon name={mayCopy.value ? "check" : "copy"} />
            {mayCopy.value ? "Programs may copy to the clipboard" : "Let programs copy to the clipboard"}
          </button>
        </Menu>
      </header>
      {problem.value && <p class="terminal-note is-problem" role="alert">{problem.value}</p>}
      <TerminalScreen
        runnerId={runnerId}
        terminalId={terminalId}
        isSearching={isSearching.value}
        onSearchEnd={() => isSearching.value = false}
        onTitle={() => {}}
        onRestart={restart}
        onClose={onClose}
      />
    </section>
  );
}
