/** One terminal in the strip of tabs. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type TerminalInfo, terminalName } from "@/protocol/terminal.ts";
import { shortPath } from "@/client/format.ts";
import { Icon } from "./icons.tsx";

interface TerminalTabProps {
  item: TerminalInfo;
  /** Set by its program, as far as this page knows; "": none. */
  title: string;
  /** Another tab has the same name: the folder tells them apart. */
  isAmbiguous: boolean;
  isCurrent: boolean;
  onChoose: () => void;
  onClose: () => void;
}

export function TerminalTab(props: TerminalTabProps): JSX.Element {
  const { item, title, isAmbiguous, isCurrent, onChoose, onClose } = props;
  const name = terminalName({ ...item, title });
  const box = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (isCurrent) box.current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [isCurrent]);
  const needsYou = !isCurrent && item.attention !== null;
  const hint = `${item.command.join(" ")}\n${shortPath(item.cwd)}${item.attention ? `\n${item.attention.text}` : ""}`;
  return (
    <span ref={box} class={`terminal-tab ${isCurrent ? "is-current" : ""}`} role="presentation">
      <button
        type="button"
        role="tab"
        class="terminal-tab-name"
        aria-selected={isCurrent}
        title={hint}
        onClick={onChoose}
        onKeyDown={(event) => event.key === "Delete" && onClose()}
      >
        {needsYou && <span class="attention-dot" aria-label="needs you" role="img" />}
        {item.status.state === "exited" && <span class="quiet">exited ·</span>}
        <span class="terminal-tab-text">{name}</span>
        {isAmbiguous && <span class="quiet terminal-tab-folder">{item.cwd.split("/").at(-1) || "/"}</span>}
      </button>
      {/* Tabs hold nothing but themselves: who cannot see this one has Delete, and the menu. */}
      <button
        type="button"
        class="terminal-tab-close"
        aria-hidden="true"
        title={`Close ${name}`}
        tabIndex={-1}
        onClick={onClose}
      >
        <Icon name="close" />
      </button>
    </span>
  );
}
