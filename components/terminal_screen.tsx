/** One terminal: its screen, what is wrong with it, search, and the keys of a touch screen. */
import { type Signal, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { loadTerminalStyles, TerminalView } from "@/client/terminal_view.ts";
import { Icon } from "./icons.tsx";
import { TerminalKeys } from "./terminal_keys.tsx";
import { PasteByHand } from "./terminal_paste.tsx";
import { TerminalSearch } from "./terminal_search.tsx";
import { TerminalState } from "./terminal_state.tsx";

/** How long a notice stays. */
const NOTICE_MS = 6_000;
const BELL_MS = 180;

interface TerminalScreenProps {
  runnerId: string;
  terminalId: string;
  isSearching: Signal<boolean>;
  onTitle: (title: string) => void;
  onRestart: () => void;
  onClose: () => void;
}

export function TerminalScreen(props: TerminalScreenProps): JSX.Element {
  const { runnerId, terminalId } = props;
  const element = useRef<HTMLDivElement>(null);
  const view = useSignal<TerminalView | null>(null);
  const notice = useSignal<string | null>(null);
  const isPasting = useSignal(false);
  useEffect(() => {
    const made = new TerminalView({ runnerId, terminalId, onNotice: (text) => notice.value = text });
    let isGone = false;
    // Characters are measured when it opens: the styles must be there.
    loadTerminalStyles().then(
      () => {
        if (isGone || !element.current) return;
        made.open(element.current);
        view.value = made;
      },
      (error: Error) => notice.value = error.message,
    );
    return () => {
      isGone = true;
      view.value = null;
      made.dispose();
    };
  }, [runnerId, terminalId]);
  useEffect(() => {
    if (notice.value === null) return;
    const timer = setTimeout(() => notice.value = null, NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice.value]);
  useSignalEffect(() => {
    if (view.value) props.onTitle(view.value.title.value);
  });
  const paste = async () => {
    try {
      view.value?.paste(await navigator.clipboard.readText());
    } catch {
      // No permission, or a page without TLS: then by hand.
      isPasting.value = true;
    }
  };
  const shown = view.value;
  const isLost = shown !== null && shown.connection.value.kind !== "live";
  return (
    <div class={`terminal ${isLost ? "is-lost" : ""}`}>
      {props.isSearching.value && shown && (
        <TerminalSearch
          view={shown}
          onEnd={() => props.isSearching.value = false}
        />
      )}
      <div class="terminal-frame">
        <div class="terminal-screen" ref={element} />
        {shown && <Bell view={shown} />}
        {shown?.hasSelection.value && (
          <button
            type="button"
            class="button is-small terminal-copy"
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => shown.copy()}
          >
            <Icon name="copy" />Copy
          </button>
        )}
      </div>
      {shown && <TerminalState view={shown} onRestart={props.onRestart} onClose={props.onClose} />}
      {notice.value && <p class="terminal-note is-over" role="status">{notice.value}</p>}
      {shown && <TerminalKeys view={shown} onPaste={paste} />}
      {isPasting.value && (
        <PasteByHand
          onText={(text) => shown?.paste(text)}
          onClose={() => {
            isPasting.value = false;
            shown?.focus();
          }}
        />
      )}
    </div>
  );
}

function Bell({ view }: { view: TerminalView }): JSX.Element | null {
  const isRinging = useSignal(false);
  const count = view.bells.value;
  useEffect(() => {
    if (count === 0) return;
    isRinging.value = true;
    const timer = setTimeout(() => isRinging.value = false, BELL_MS);
    return () => clearTimeout(timer);
  }, [count]);
  return isRinging.value ? <div class="terminal-bell" aria-hidden="true" /> : null;
}
