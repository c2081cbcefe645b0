/** What the bar of every terminal ends with: find, and a menu. */
import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { allowClipboard, isClipboardAllowed } from "@/client/terminal_view.ts";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";

interface TerminalToolsProps {
  /** Whether a search is open; null: no terminal is shown. */
  isSearching: Signal<boolean> | null;
  onRestart: () => void;
  /** First and last in the menu. */
  before?: ComponentChildren;
  after?: ComponentChildren;
}

export function TerminalTools({ isSearching, onRestart, before, after }: TerminalToolsProps): JSX.Element {
  const mayCopy = useSignal(isClipboardAllowed());
  return (
    <>
      {isSearching && (
        <button
          type="button"
          class="button is-quiet is-icon"
          aria-label="Find"
          aria-pressed={isSearching.value}
          onClick={() => isSearching.value = !isSearching.value}
        >
          <Icon name="search" />
        </button>
      )}
      <Menu label="Terminal menu">
        {before}
        {isSearching && (
          <button type="button" onClick={onRestart}>
            <Icon name="reload" />Restart the program
          </button>
        )}
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
        {after}
      </Menu>
    </>
  );
}
