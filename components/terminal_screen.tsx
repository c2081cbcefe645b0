/** One terminal: its screen, what is wrong with it, search, and the keys of a touch screen. */
import { useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { loadTerminalStyles, TerminalView } from "@/client/terminal_view.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import { TerminalKeys } from "./terminal_keys.tsx";

/** How long a notice stays. */
const NOTICE_MS = 6_000;
const BELL_MS = 180;

interface TerminalScreenProps {
  runnerId: string;
  terminalId: string;
  isSearching: boolean;
  onSearchEnd: () => void;
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
  return (
    <div class="terminal">
      {props.isSearching && shown && <Search view={shown} onEnd={props.onSearchEnd} />}
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
      {shown && <State view={shown} onRestart={props.onRestart} onClose={props.onClose} />}
      {notice.value && <p class="terminal-note" role="status">{notice.value}</p>}
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

/** What keeps the terminal from being used as usual; nothing when nothing does. */
function State(
  { view, onRestart, onClose }: { view: TerminalView; onRestart: () => void; onClose: () => void },
): JSX.Element | null {
  const connection = view.connection.value;
  const status = view.status.value;
  const size = view.size.value;
  if (connection.kind === "stopped") {
    const words = {
      deleted: view.error.value ?? "This terminal is closed.",
      signed_out: "You are signed out.",
      version: "The hub was updated. Reload this page.",
      replaced: "This terminal was opened elsewhere.",
      disposed: "",
    }[connection.reason];
    return (
      <div class="terminal-note is-problem" role="alert">
        <p>{words}</p>
        <button type="button" class="button is-small" onClick={onClose}>Close</button>
      </div>
    );
  }
  if (connection.kind !== "live") {
    return (
      <p class="terminal-note" role="status">
        {view.error.value ? `${view.error.value}. Trying again…` : "Connecting…"}
      </p>
    );
  }
  if (status.state === "exited") {
    const how = status.signal === null ? `exited with code ${status.code}` : `was ended by signal ${status.signal}`;
    return (
      <div class={`terminal-note ${status.code === 0 && status.signal === null ? "" : "is-problem"}`} role="status">
        <p>The program {how}.</p>
        <button type="button" class="button is-small" onClick={onRestart}>Restart</button>
        <button type="button" class="button is-quiet is-small" onClick={onClose}>Close</button>
      </div>
    );
  }
  if (!connection.isAnswering) return <p class="terminal-note" role="status">The hub does not answer…</p>;
  if (size && !size.isOwner) {
    return (
      <p class="terminal-note is-quiet">
        {size.cols} × {size.rows}, the size of another window. Type to make it yours.
      </p>
    );
  }
  return null;
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

function Search({ view, onEnd }: { view: TerminalView; onEnd: () => void }): JSX.Element {
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

function PasteByHand({ onText, onClose }: { onText: (text: string) => void; onClose: () => void }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  return (
    <Dialog title="Paste into the terminal" onClose={onClose}>
      <p class="quiet">The browser does not let this page read the clipboard. Paste here instead.</p>
      <textarea ref={field} class="field" rows={5} aria-label="Text" />
      <div class="button-row is-end">
        <button
          type="button"
          class="button is-primary"
          onClick={() => {
            onText(field.current?.value ?? "");
            onClose();
          }}
        >
          Send
        </button>
      </div>
    </Dialog>
  );
}
