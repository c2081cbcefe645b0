/** The head of a session's page: what it is, where it runs, whether what is shown is live, and what can be done to it. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Anything, api, errorText } from "@/client/api.ts";
import { baseName } from "@/client/format.ts";
import { terminalAgentId } from "@/protocol/command.ts";
import { limits } from "@/protocol/limits.ts";
import { ActivityBadge } from "./activity_badge.tsx";
import { ConnectionBadge } from "./connection_badge.tsx";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";
import { PathText } from "./path_text.tsx";
import { useSession } from "./session_context.ts";
import { DemoTag } from "./session_row.tsx";

/** @param othersWaiting how many other sessions wait for a person */
export function SessionHeader({ othersWaiting }: { othersWaiting: number }): JSX.Element {
  const { store, side, isTerminalOpen } = useSession();
  const isRenaming = useSignal(false);
  const isDeleting = useSignal(false);
  const problem = useSignal<string | null>(null);
  const info = store.info.value;
  const { title, can } = store.meta.value;
  const isKnown = store.phase.value.kind === "ready";
  const shownActivity = isKnown ? store.activity.value : info?.activity;
  const name = title ?? info?.sessionName ?? (info ? baseName(info.cwd) : "Session");
  const isProgram = info?.agent.id === terminalAgentId;
  const hasEnded = shownActivity === "ended";
  useEffect(() => {
    document.title = `${shownActivity === "waiting" ? "● " : ""}${name} · Perch`;
  }, [name, shownActivity]);
  const act = async (what: "kill" | "resume") => {
    problem.value = null;
    try {
      await api(Anything, "POST", `/api/sessions/${encodeURIComponent(store.sessionId)}/${what}`);
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <header class="session-head">
      <a
        class="button is-quiet is-icon only-narrow back"
        href="/"
        aria-label={othersWaiting > 0 ? `All sessions, ${othersWaiting} more need you` : "All sessions"}
      >
        <Icon name="back" />
        {othersWaiting > 0 && <span class="back-count" aria-hidden="true">{othersWaiting}</span>}
      </a>
      <div class="session-head-text">
        {isRenaming.value ? <Rename name={name} onDone={() => isRenaming.value = false} /> : (
          <h1>
            <button
              type="button"
              class="name-button"
              title="Rename"
              disabled={!info || hasEnded}
              onClick={() => isRenaming.value = true}
            >
              {name}
            </button>
          </h1>
        )}
        <p class="session-head-facts">
          {shownActivity && <ActivityBadge activity={shownActivity} />}
          {info?.agent.isDemo && <DemoTag />}
          {info && <span class="session-head-agent">{info.agent.name}</span>}
          {info && <PathText path={info.cwd} />}
          {info?.runnerName && <span class="session-head-runner">{info.runnerName}</span>}
        </p>
        {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      </div>
      <ConnectionBadge state={store.connection} isHostConnected={info?.isActive ?? null} hasEnded={hasEnded} />
      {info?.runnerId && (
        <button
          type="button"
          class="button is-quiet is-icon"
          aria-label={isProgram ? "More terminals" : "Terminal"}
          title={isProgram ? "More terminals" : "Terminal"}
          aria-pressed={isTerminalOpen.value}
          onClick={() => isTerminalOpen.value = !isTerminalOpen.value}
        >
          <Icon name="terminal" />
        </button>
      )}
      <Menu label="Session menu">
        {!hasEnded && (
          <button type="button" onClick={() => isRenaming.value = true}>
            <Icon name="edit" />Rename
          </button>
        )}
        {!hasEnded && can.newConversation && (
          <button
            type="button"
            onClick={() => store.run({ kind: "new_conversation" })}
          >
            <Icon name="plus" />New conversation
          </button>
        )}
        {!hasEnded && (
          <button type="button" onClick={() => act("kill")}>
            <Icon name="stop" />End session
          </button>
        )}
        {hasEnded && info?.isResumable && (
          <button type="button" onClick={() => act("resume")}>
            <Icon name="execute" />Resume
          </button>
        )}
        {info?.runnerId && (
          <button type="button" onClick={() => side.value = { kind: "ports" }}>
            <Icon name="fetch" />Ports
          </button>
        )}
        {(["markdown", "jsonl"] as const).map((format) => (
          <a
            key={format}
            href={`/api/sessions/${encodeURIComponent(store.sessionId)}/export?format=${format}`}
            download
          >
            <Icon name="down" />Export as {format === "jsonl" ? "JSONL" : "Markdown"}
          </a>
        ))}
        <button type="button" class="is-danger-text" onClick={() => isDeleting.value = true}>
          <Icon name="trash" />Delete…
        </button>
      </Menu>
      {isDeleting.value && <DeleteSession name={name} onClose={() => isDeleting.value = false} />}
    </header>
  );
}

function Rename({ name, onDone }: { name: string; onDone: () => void }): JSX.Element {
  const { store } = useSession();
  const text = useSignal(name);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const save = (event: Event) => {
    event.preventDefault();
    const title = text.value.trim();
    if (title !== "" && title !== name) store.run({ kind: "rename", title });
    onDone();
  };
  return (
    <form class="rename" onSubmit={save}>
      <input
        ref={field}
        class="field"
        aria-label="Name of the session"
        value={text.value}
        maxLength={limits.titleChars}
        onInput={(event) => text.value = event.currentTarget.value}
        onKeyDown={(event) => event.key === "Escape" && onDone()}
        onBlur={save}
      />
    </form>
  );
}

function DeleteSession({ name, onClose }: { name: string; onClose: () => void }): JSX.Element {
  const { store } = useSession();
  const problem = useSignal<string | null>(null);
  const remove = async () => {
    try {
      await api(Anything, "DELETE", `/api/sessions/${encodeURIComponent(store.sessionId)}`);
      location.assign("/");
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <Dialog title="Delete this session?" onClose={onClose}>
      <p>“{name}” and its whole timeline go from the hub. Files that the agent changed stay as they are.</p>
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      <div class="button-row is-end">
        <button type="button" class="button is-danger" onClick={remove}>Delete session</button>
      </div>
    </Dialog>
  );
}
