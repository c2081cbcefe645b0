/** What keeps a terminal from being used as usual, in words: no connection, an end, somebody else's size. */
import type { JSX } from "preact";
import type { TerminalView } from "@/client/terminal_view.ts";

interface TerminalStateProps {
  view: TerminalView;
  onRestart: () => void;
  onClose: () => void;
}

/** Nothing while nothing is to be said. */
export function TerminalState({ view, onRestart, onClose }: TerminalStateProps): JSX.Element | null {
  const connection = view.connection.value;
  const status = view.status.value;
  const size = view.size.value;
  if (connection.kind === "stopped") {
    const words = {
      deleted: "This terminal is gone: it was closed, or its runner stopped.",
      signed_out: "You are signed out.",
      version: "The hub was updated. Reload this page.",
      replaced: "This terminal was opened elsewhere.",
      disposed: "",
    }[connection.reason];
    return (
      <div class="terminal-note is-over is-problem" role="alert">
        <p>{words}</p>
        <button type="button" class="button is-small" onClick={onClose}>Close</button>
      </div>
    );
  }
  if (connection.kind !== "live" || size === null) {
    const why = view.error.value;
    return (
      <p class="terminal-note is-over" role="status">
        {why
          ? `${sentence(why)} Trying again…`
          : size === null
          ? "Connecting…"
          : "The connection is lost. Trying again…"}
      </p>
    );
  }
  if (status.state === "exited") {
    const isClean = status.code === 0 && status.signal === null;
    const how = status.signal === null ? `exited with code ${status.code}` : `was ended by signal ${status.signal}`;
    return (
      <div class={`terminal-note ${isClean ? "" : "is-problem"}`} role="status">
        <p>The program {how}.</p>
        <button type="button" class="button is-small" onClick={onRestart}>Restart</button>
        <button type="button" class="button is-quiet is-small" onClick={onClose}>Close</button>
      </div>
    );
  }
  if (!connection.isAnswering) return <p class="terminal-note is-over" role="status">The hub does not answer…</p>;
  if (!size.isOwner) {
    return (
      <p class="terminal-note is-quiet">
        {size.cols} × {size.rows}, the size of another window. Type to make it yours.
      </p>
    );
  }
  return null;
}

/** The hub's words as a sentence. */
function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}
