/** The terminals of a session or runner as tabs. Loaded when a terminal is first wanted. */
import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { RunnerInfo } from "@/protocol/shared.ts";
import { terminalName } from "@/protocol/terminal.ts";
import { shortPath } from "@/client/format.ts";
import type { LiveList } from "@/client/live_lists.ts";
import { TerminalList } from "@/client/terminal_list.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";
import { NewTerminalDialog } from "./terminal_new.tsx";
import { TerminalScreen } from "./terminal_screen.tsx";
import { TerminalTab } from "./terminal_tab.tsx";
import { TerminalTools } from "./terminal_tools.tsx";

/** Folders that the menu of the new terminal names; the others are in its dialog. */
const MENU_FOLDERS = 5;

export interface TerminalPanelProps {
  runnerId: string;
  /** Where a new terminal starts. */
  cwd: string;
  /** Folders that may be chosen. */
  roots: readonly string[];
  /** The session whose terminals these are; null: all of the runner. */
  sessionId: string | null;
  /** The terminal to show first. */
  terminalId?: string | null;
  /** The page's own list of runners, where it has one. */
  runners?: LiveList<RunnerInfo>;
  /** Absent: the panel is the page. */
  onClose?: () => void;
}

export function TerminalPanel(props: TerminalPanelProps): JSX.Element {
  const { runnerId, cwd, roots, sessionId, terminalId = null, runners, onClose } = props;
  const list = useMemo(() => new TerminalList(runnerId, sessionId, runners), [runnerId, sessionId, runners]);
  const titles = useSignal<ReadonlyMap<string, string>>(new Map());
  const isSearching = useSignal(false);
  const isChoosing = useSignal(false);
  const closingId = useSignal<string | null>(null);
  const { current } = list;
  const make = async (folder: string, command?: string[]) => {
    const made = await list.make({ cwd: folder, ...(command ? { command } : {}) });
    if (made) current.value = made.terminalId;
    return made !== null;
  };
  useEffect(() => {
    void list.start().then(async () => {
      const items = list.items.value;
      const first = items?.find((item) => item.terminalId === terminalId) ?? items?.at(-1);
      if (first) current.value = first.terminalId;
      // Who opens terminals wants one.
      else if (items !== null && cwd !== "") await make(cwd);
    });
    return () => list.dispose();
  }, [list]);
  const items = list.items.value ?? [];
  const shown = items.find((item) => item.terminalId === current.value) ?? null;
  const titleOf = (item: typeof items[number]) => titles.value.get(item.terminalId) || item.title;
  const names = items.map((item) => terminalName({ ...item, title: titleOf(item) }));
  const close = (terminalId: string) => {
    closingId.value = null;
    const at = items.findIndex((item) => item.terminalId === terminalId);
    if (current.value === terminalId) current.value = (items[at + 1] ?? items[at - 1])?.terminalId ?? null;
    void list.close(terminalId);
  };
  // What runs ends with its terminal: that is asked first.
  const askToClose = (terminalId: string) => {
    const isRunning = items.find((item) => item.terminalId === terminalId)?.status.state === "running";
    if (isRunning) closingId.value = terminalId;
    else close(terminalId);
  };
  const closing = items.find((item) => item.terminalId === closingId.value);
  const restart = () => shown && void list.restart(shown.terminalId);
  return (
    <section class="terminal-panel" aria-label="Terminals">
      <header class="terminal-tabs">
        {onClose && (
          <button type="button" class="button is-quiet is-icon only-phone" aria-label="Back" onClick={onClose}>
            <Icon name="back" />
          </button>
        )}
        <div class="terminal-tab-list" role="tablist" aria-label="Terminals" onKeyDown={moveBetweenTabs}>
          {items.map((item, at) => (
            <TerminalTab
              key={item.terminalId}
              item={item}
              title={titleOf(item)}
              isAmbiguous={names.indexOf(names[at]!) !== names.lastIndexOf(names[at]!)}
              isCurrent={item === shown}
              onChoose={() => current.value = item.terminalId}
              onClose={() => askToClose(item.terminalId)}
            />
          ))}
        </div>
        <NewButtons cwd={cwd} roots={roots} isChoosing={isChoosing} onMake={make} />
        <span class="spacer" />
        <TerminalTools
          isSearching={shown && isSearching}
          onRestart={restart}
          before={
            <button type="button" onClick={() => isChoosing.value = true}>
              <Icon name="plus" />New: other folder or program…
            </button>
          }
          after={shown && (
            <button type="button" class="is-danger-text" onClick={() => askToClose(shown.terminalId)}>
              <Icon name="trash" />Close terminal
            </button>
          )}
        />
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
            isSearching={isSearching}
            onTitle={(title) => titles.value = new Map(titles.peek()).set(shown.terminalId, title)}
            onRestart={restart}
            onClose={() => close(shown.terminalId)}
          />
        )
        : <Nothing list={list} cwd={cwd} isChoosing={isChoosing} onMake={make} />}
      {closing && (
        <Dialog
          title={`Close ${terminalName({ ...closing, title: titleOf(closing) })}?`}
          onClose={() => closingId.value = null}
        >
          <p>What runs in it ends.</p>
          <div class="button-row is-end">
            <button type="button" class="button is-danger" onClick={() => close(closing.terminalId)}>
              End and close
            </button>
          </div>
        </Dialog>
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

/** Left and Right choose the tab beside. */
function moveBetweenTabs(event: JSX.TargetedKeyboardEvent<HTMLElement>): void {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined) return;
  const tabs = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=tab]")];
  const next = tabs[tabs.indexOf(event.target as HTMLElement) + step];
  next?.focus();
  next?.click();
}

interface NewButtonsProps {
  cwd: string;
  roots: readonly string[];
  isChoosing: Signal<boolean>;
  onMake: (cwd: string) => Promise<boolean>;
}

/** A shell at once, or a choice of where. */
function NewButtons({ cwd, roots, isChoosing, onMake }: NewButtonsProps): JSX.Element {
  const folders = [...new Set([cwd, ...roots])].filter((folder) => folder !== "").slice(0, MENU_FOLDERS);
  return (
    <span class="terminal-new">
      <button
        type="button"
        class="button is-quiet is-icon"
        aria-label="New terminal"
        title={cwd === "" ? "New terminal" : `New terminal in ${shortPath(cwd)}`}
        onClick={() => cwd === "" ? isChoosing.value = true : void onMake(cwd)}
      >
        <Icon name="plus" />
      </button>
      <span class="not-phone">
        <Menu label="Where to open a new terminal" icon="chevron">
          {folders.map((folder) => (
            <button key={folder} type="button" onClick={() => void onMake(folder)}>
              <Icon name="terminal" />Shell in {shortPath(folder)}
            </button>
          ))}
          <button type="button" onClick={() => isChoosing.value = true}>
            <Icon name="folder" />Other folder or program…
          </button>
        </Menu>
      </span>
    </span>
  );
}

interface NothingProps {
  list: TerminalList;
  cwd: string;
  isChoosing: Signal<boolean>;
  onMake: (cwd: string) => Promise<boolean>;
}

/** In the place of a terminal when there is none. */
function Nothing({ list, cwd, isChoosing, onMake }: NothingProps): JSX.Element {
  if (!list.isConnected.value) {
    return <p class="terminal-none quiet" role="status">The runner is offline. Its terminals show when it is back.</p>;
  }
  if (list.items.value === null) {
    return <p class="terminal-none quiet" role="status">{list.problem.value ? "" : "Asking the runner…"}</p>;
  }
  return (
    <div class="terminal-none">
      <Icon name="terminal" />
      <p>No terminal is open.</p>
      <div class="button-row">
        {cwd !== "" && (
          <button type="button" class="button is-primary" onClick={() => void onMake(cwd)}>
            Open a shell in {shortPath(cwd)}
          </button>
        )}
        <button type="button" class="button" onClick={() => isChoosing.value = true}>Other folder or program…</button>
      </div>
    </div>
  );
}
