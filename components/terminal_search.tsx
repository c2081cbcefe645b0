/** Finds text in a terminal's screen and scrollback, from the newest back. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { TerminalView } from "@/client/terminal_view.ts";
import { Icon } from "./icons.tsx";

export function TerminalSearch({ view, onEnd }: { view: TerminalView; onEnd: () => void }): JSX.Element {
  const text = useSignal("");
  const isFound = useSignal(true);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.focus();
    return () => view.endFind();
  }, []);
  const find = (direction: "next" | "previous") =>
    isFound.value = text.value === "" || view.find(text.value, direction);
  return (
    <form
      class="terminal-search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        find("previous");
      }}
    >
      <input
        ref={field}
        class="field"
        type="search"
        aria-label="Find in the terminal"
        aria-invalid={!isFound.value}
        placeholder="Find"
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          find("previous");
        }}
        onKeyDown={(event) => event.key === "Escape" && onEnd()}
      />
      <button type="submit" class="button is-quiet is-small">Older</button>
      <button type="button" class="button is-quiet is-small" onClick={() => find("next")}>Newer</button>
      {!isFound.value && <span class="quiet" role="status">Not found</span>}
      <button type="button" class="button is-quiet is-icon" aria-label="End search" onClick={onEnd}>
        <Icon name="close" />
      </button>
    </form>
  );
}
