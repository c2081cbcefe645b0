/** The terminals of a session or runner as tabs. Loaded when a terminal is first wanted. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { TerminalInfo } from "@/protocol/terminal.ts";
import { TerminalList } from "@/client/terminal_list.ts";
import { allowClipboard, isClipboardAllowed } from "@/client/terminal_view.ts";
import { shortPath } from "@/client/format.ts";
import { Dialog } from "./dialog.tsx";
import { FolderPicker } from "./folder_picker.tsx";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";
import { TerminalScreen } from "./terminal_screen.tsx";

export interface TerminalPanelProps {
  runnerId: string;
  /** Where a new terminal starts. */
  cwd: string;
  /** Folders that may be chosen. */
  roots: readonly string[];
  /** The session whose terminals these are; null: all of the runner. */
  sessionId: string | null;
  /** Absent: the panel is the page. */
  onClose?: () => void;
}

export function TerminalPanel({ runnerId, cwd, roots, sessionId, onClose }: TerminalPanelProps): JSX.Element {
  const list = useMemo(() => new TerminalList(runnerId, sessionId), [runnerId, sessionId]);
  const current = useSignal<string | null>(null);
  const titles = useSignal<ReadonlyMap<string, string>>(new Map());
  const isSearching = useSignal(false);
  const isChoosing = useSignal(false);
  const mayCopy = useSignal(isClipboardAllowed());
  const make = async (folder: string, command?: string[]) => {
    const made = await list.make({ cwd: folder, ...(command ? { command } : {}) });
    if (made) current.value = made.terminalId;
    return made !== null;
  };
  useEffect(() => {
    void list.start().then(async () => {
      const first = list.items.value?.at(-1);
      if (first) current.value = first.terminalId;
      // Who opens terminals wants one.
      else if (list.items.value !== null && cwd !== "") await make(cwd);
    });
    return () => list.dispose();
  }, [list]);
  const items = list.items.value ?? [];
  const shown = items.find(({ terminalId }) => terminalId === current.value) ?? null;
  const close = (terminalId: string) => {
    const at = items.findIndex((item) => item.terminalId === terminalId);
    current.value = (items[at + 1] ?? items[at - 1])?.terminalId ?? null;
    void list.close(terminalId);
  };
  return (
    <section class="terminal-panel" aria-label="Terminals">
      <header class="terminal-tabs">
        {onClose && (
          <button type="button" class="button is-quiet is-icon only-phone" aria-label="Back" onClick={onClose}>
            <Icon name="back" />
          </button>
        )}
        <div class="terminal-tab-list" role="tablist" aria-label="Terminals">
          {items.map((item) => (
            <Tab
              key={item.terminalId}
              item={item}
              title={titles.value.get(item.terminalId) || item.title}
              isCurrent={item === shown}
              onChoose={() => current.value = item.terminalId}
              onClose={() => close(item.terminalId)}
            />
          ))}
        </div>
        <button
          type="button"
          class="button is-quiet is-icon"
          aria-label="New terminal"
          onClick={() => cwd === "" ? isChoosing.value = true : void make(cwd)}
        >
          <Icon name="plus" />
        </button>
        <span class="spacer" />
        {shown && (
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
          <button type="button" onClick={() => isChoosing.value = true}>
            <Icon name="folder" />New in another folder…
          </button>
          {shown && (
            <button type="button" onClick={() => list.restart(shown.terminalId)}>
              <Icon name="execute" />Restart
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
          {shown && (
            <button type="button" class="is-danger-text" onClick={() => close(shown.terminalId)}>
              <Icon name="trash" />Close terminal
            </button>
          )}
        </Menu>
        {onClose && (
          <button type="button" class="button is-quiet is-icon not-phone" aria-label="Hide terminals" onClick={onClose}>
            <Icon name="close" />
          </button>
        )}
      </header>
      {list.problem.value && <p class="terminal-note is-problem" role="alert">{list.problem.value}</p>}
      {shown
        ? (
          <TerminalScreen
            key={shown.terminalId}
            runnerId={runnerId}
            terminalId={shown.terminalId}
            isSearching={isSearching.value}
            onSearchEnd={() => isSearching.value = false}
            onTitle={(title) => titles.value = new Map(titles.peek()).set(shown.terminalId, title)}
            onRestart={() => list.restart(shown.terminalId)}
            onClose={() => close(shown.terminalId)}
          />
        )
        : (
          <div class="terminal-none">
            {list.items.value === null
              ? <p class="quiet" role="status">{list.problem.value ? "" : "Asking the runner…"}</p>
              : <button type="button" class="button" onClick={() => isChoosing.value = true}>Open a terminal…</button>}
          </div>
        )}
      {isChoosing.value && (
        <NewTerminalDialog
          runnerId={runnerId}
          roots={roots}
          cwd={cwd || (roots[0] ?? "")}
          problem={list.problem.value}
          onMake={make}
          onClose={() => isChoosing.value = false}
        />
      )}
    </section>
  );
}

interface TabProps {
  item: TerminalInfo;
  title: string;
  isCurrent: boolean;
  onChoose: () => void;
  onClose: () => void;
}

function Tab({ item, title, isCurrent, onChoose, onClose }: TabProps): JSX.Element {
  const name = item.name || title || item.command[0]?.split("/").at(-1) || "terminal";
  const needsYou = !isCurrent && item.attention !== null;
  return (
    <span class={`terminal-tab ${isCurrent ? "is-current" : ""}`} role="presentation">
      <button
        type="button"
        role="tab"
        class="terminal-tab-name"
        aria-selected={isCurrent}
        title={`${item.command.join(" ")}\n${shortPath(item.cwd)}${item.attention ? `\n${item.attention.text}` : ""}`}
        onClick={onChoose}
      >
        {needsYou && <span class="terminal-dot" aria-label="needs you" role="img" />}
        {item.status.state === "exited" && <span class="quiet">exited ·</span>}
        <span class="terminal-tab-text">{name}</span>
      </button>
      <button type="button" class="terminal-tab-close" aria-label={`Close ${name}`} tabIndex={-1} onClick={onClose}>
        <Icon name="close" />
      </button>
    </span>
  );
}

interface NewTerminalDialogProps {
  runnerId: string;
  roots: readonly string[];
  cwd: string;
  problem: string | null;
  onMake: (cwd: string, command?: string[]) => Promise<boolean>;
  onClose: () => void;
}

function NewTerminalDialog({ runnerId, roots, cwd, problem, onMake, onClose }: NewTerminalDialogProps): JSX.Element {
  const folder = useSignal(cwd);
  const command = useSignal("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const line = command.value.trim();
    // A shell reads the line: quotes and variables mean what people expect.
    if (await onMake(folder.value, line === "" ? undefined : ["/bin/sh", "-lc", `exec ${line}`])) onClose();
  };
  return (
    <Dialog title="New terminal" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <FolderPicker
          runnerId={runnerId}
          roots={roots}
          recent={[]}
          value={folder}
          onChange={(path) => folder.value = path}
          error={problem ?? undefined}
        />
        <label class="form-field">
          Program
          <input
            class="field mono"
            value={command.value}
            placeholder="your shell"
            autocapitalize="none"
            spellcheck={false}
            onInput={(event) => command.value = event.currentTarget.value}
          />
        </label>
        <div class="button-row is-end">
          <button type="submit" class="button is-primary">Open</button>
        </div>
      </form>
    </Dialog>
  );
}
