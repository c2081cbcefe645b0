/** A session's page: the list of sessions beside it where there is room, the timeline, and what belongs to writing. */
import { useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { NoticeBody } from "@/protocol/entry.ts";
import { terminalAgentId } from "@/protocol/command.ts";
import type { SessionInfo } from "@/protocol/shared.ts";
import { attentionFirst } from "@/client/grouping.ts";
import { type LiveList, type LiveSessions, liveSessions } from "@/client/live_lists.ts";
import { SessionStore } from "@/client/session_store.ts";
import { Anything, api, errorText } from "@/client/api.ts";
import { Composer } from "./composer.tsx";
import { Icon, Mark } from "./icons.tsx";
import { PinnedInteraction } from "./interaction_card.tsx";
import { Ghosts, QueueList, Refusals } from "./outgoing.tsx";
import { PlanStrip } from "./plan_strip.tsx";
import { SessionContext, SessionView, useSession } from "./session_context.ts";
import { SessionControls } from "./session_controls.tsx";
import { SessionHeader } from "./session_header.tsx";
import { SessionRow } from "./session_row.tsx";
import { BackToTerminal, SessionTerminal, useTerminalView } from "./session_terminal.tsx";
import { StoppedBanner } from "./stopped_banner.tsx";
import { Timeline } from "./timeline.tsx";
import { TunnelStrip } from "./tunnel_strip.tsx";
import { useKeyboardFit } from "./use_keyboard_fit.ts";

const pathOf = (sessionId: string) => `/session/${encodeURIComponent(sessionId)}`;

export function SessionPageView({ sessionId: first }: { sessionId: string }): JSX.Element {
  const sessionId = useSignal(first);
  const view = useSignal<SessionView | null>(null);
  const list = useSignal<LiveSessions | null>(null);
  useEffect(() => {
    const store = new SessionStore(sessionId.value, sessionStorage);
    view.value = new SessionView(store);
    store.start();
    return () => store.dispose();
  }, [sessionId.value]);
  useEffect(() => {
    const sessions = liveSessions();
    list.value = sessions;
    sessions.start();
    const onBack = () => {
      const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
      if (location.pathname.startsWith("/session/") && id !== "") sessionId.value = id;
    };
    addEventListener("popstate", onBack);
    return () => {
      removeEventListener("popstate", onBack);
      sessions.dispose();
    };
  }, []);
  const open = (session: SessionInfo) => {
    if (session.sessionId === sessionId.value) return;
    history.pushState(null, "", pathOf(session.sessionId));
    sessionId.value = session.sessionId;
  };
  const othersWaiting = useComputed(() =>
    attentionFirst(list.value?.items.value?.values() ?? []).filter((session) => session.sessionId !== sessionId.value)
      .length
  );
  const page = useRef<HTMLDivElement>(null);
  useKeyboardFit(page);
  return (
    <div class="session-page" ref={page}>
      <nav class="sidebar" aria-label="Sessions">
        <div class="sidebar-head">
          <a class="brand" href="/">
            <Mark />
            <span>Perch</span>
          </a>
          <span class="spacer" />
          <a class="button is-quiet is-icon" href="/?new" aria-label="New session">
            <Icon name="plus" />
          </a>
        </div>
        {list.value && <Sidebar list={list.value} current={sessionId.value} onOpen={open} />}
      </nav>
      {view.value
        ? (
          <SessionContext.Provider value={view.value} key={view.value.store.sessionId}>
            <SessionMain
              othersWaiting={othersWaiting.value}
              tunnelChanges={list.value?.tunnelChanges.value ?? 0}
            />
            <Side />
          </SessionContext.Provider>
        )
        : (
          <main class="session-main">
            <p class="quiet centered" role="status">Opening the session…</p>
          </main>
        )}
    </div>
  );
}

interface SidebarProps {
  list: LiveList<SessionInfo>;
  current: string;
  onOpen: (session: SessionInfo) => void;
}

function Sidebar({ list, current, onOpen }: SidebarProps): JSX.Element {
  const arranged = useComputed(() => {
    const all = [...list.items.value?.values() ?? []].sort((a, b) => b.startedAt - a.startedAt);
    const waiting = attentionFirst(all);
    const rest = all.filter((session) => !waiting.includes(session));
    return {
      waiting,
      open: rest.filter(({ activity }) => activity !== "ended"),
      ended: rest.filter(({ activity }) => activity === "ended").slice(0, 50),
    };
  });
  const { waiting, open, ended } = arranged.value;
  const rows = (sessions: SessionInfo[]) =>
    sessions.map((session) => (
      <SessionRow key={session.sessionId} session={session} isCurrent={session.sessionId === current} onOpen={onOpen} />
    ));
  return (
    <div class="sidebar-list">
      {waiting.length > 0 && (
        <>
          <h2>Needs you</h2>
          <ul class="session-list">{rows(waiting)}</ul>
        </>
      )}
      {open.length > 0 && (
        <>
          <h2>Open</h2>
          <ul class="session-list">{rows(open)}</ul>
        </>
      )}
      {ended.length > 0 && (
        <>
          <h2>Ended</h2>
          <ul class="session-list">{rows(ended)}</ul>
        </>
      )}
    </div>
  );
}

/** The session's ports, or the preview of one, where a person asked for them. */
function Side(): JSX.Element | null {
  const { side, sideModule } = useSession();
  if (side.value === null) return null;
  if (sideModule.hasFailed.value) {
    return <p class="banner" role="alert">The ports could not be loaded. Reload this page.</p>;
  }
  const SessionSideView = sideModule.module.value?.SessionSideView;
  return SessionSideView ? <SessionSideView /> : null;
}

interface SessionMainProps {
  othersWaiting: number;
  /** See LiveSessions. */
  tunnelChanges: number;
}

function SessionMain({ othersWaiting, tunnelChanges }: SessionMainProps): JSX.Element {
  const { store } = useSession();
  const { isTerminal, isShown: isTerminalShown } = useTerminalView();
  const phase = store.phase.value;
  if (phase.kind === "gone") {
    return (
      <main class="session-main">
        <section class="empty">
          <Mark size={56} />
          <h1>Not here</h1>
          <p>{phase.reason}</p>
          <a class="button" href="/">All sessions</a>
        </section>
      </main>
    );
  }
  if (isTerminalShown) {
    return (
      <main class="session-main">
        <SessionHeader othersWaiting={othersWaiting} />
        <StoppedBanner state={store.connection} />
        <SessionTerminal />
        <div class="dock is-slim">
          <Refusals />
          <TunnelStrip changes={tunnelChanges} />
        </div>
        <Terminals />
      </main>
    );
  }
  return (
    <main class="session-main">
      <SessionHeader othersWaiting={othersWaiting} />
      <StoppedBanner state={store.connection} />
      {isTerminal && store.activity.value !== "ended" && <BackToTerminal />}
      <Timeline>
        <TimelineStart />
        <Ghosts />
        <TimelineEnd />
      </Timeline>
      <div class="dock">
        <Pinned />
        <Refusals />
        <TunnelStrip changes={tunnelChanges} />
        {store.activity.value !== "ended" && (
          <>
            <PlanStrip />
            <QueueList />
            <Composer />
            <SessionControls />
          </>
        )}
      </div>
      <Terminals />
    </main>
  );
}

/** The session's terminals, where a person asked for them. */
function Terminals(): JSX.Element | null {
  const { store, isTerminalOpen, terminals } = useSession();
  const info = store.info.value;
  if (!isTerminalOpen.value || !info?.runnerId) return null;
  if (terminals.hasFailed.value) {
    return <p class="banner" role="alert">The terminal could not be loaded. Reload this page.</p>;
  }
  const TerminalPanel = terminals.module.value?.TerminalPanel;
  return TerminalPanel
    ? (
      <TerminalPanel
        runnerId={info.runnerId}
        cwd={info.cwd}
        roots={[info.cwd]}
        sessionId={store.sessionId}
        onClose={() => isTerminalOpen.value = false}
      />
    )
    : null;
}

/** What stands in an empty timeline. */
function TimelineStart(): JSX.Element | null {
  const { store } = useSession();
  if (store.rows.value.ids.length > 0) return null;
  if (store.phase.value.kind === "loading") return <p class="quiet centered" role="status">Loading the timeline…</p>;
  const activity = store.activity.value;
  if (store.inbox.value.size > 0 || store.outgoing.value.length > 0 || activity === "ended") return null;
  return (
    <p class="quiet centered" role="status">
      {activity === "starting" ? "The agent is starting…" : "Nothing yet. Ask for something below."}
    </p>
  );
}

/** What the session is doing beyond its entries: retries, its start, its end. */
function TimelineEnd(): JSX.Element | null {
  const { store } = useSession();
  const { retry } = store.meta.value;
  const ended = store.activity.value === "ended" ? store.ended.value : null;
  const isSaid = hasErrorAtEnd(store);
  const problem = useSignal<string | null>(null);
  const resume = async () => {
    problem.value = null;
    try {
      await api(Anything, "POST", `/api/sessions/${encodeURIComponent(store.sessionId)}/resume`);
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  if (retry) {
    return (
      <div class="notice is-warning" role="status">
        <p>
          <Icon name="warning" /> {retry.message}
          {retry.attempt !== undefined && ` (attempt ${retry.attempt})`}
        </p>
      </div>
    );
  }
  if (!ended) return null;
  const isProgram = store.info.value?.agent.id === terminalAgentId;
  const words = isProgram && ended.detail && ended.reason !== "lost" ? "The program ended." : {
    closed: "You ended this session.",
    runner_stopped: "The runner was stopped.",
    failed: "The agent failed.",
    lost: "The session's process died without a word.",
  }[ended.reason];
  return (
    <div class={`ended-note is-${ended.reason}`}>
      <p>{words}</p>
      {ended.detail && !isSaid && !isProgram && <pre tabIndex={0}>{ended.detail}</pre>}
      {store.info.value?.isResumable && <button type="button" class="button" onClick={resume}>Resume</button>}
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
    </div>
  );
}

/** Whether the timeline's last entry says itself what went wrong. */
function hasErrorAtEnd(store: SessionStore): boolean {
  const last = store.rows.value.ids.at(-1);
  const entry = last === undefined ? undefined : store.entry(last).value?.entry;
  return entry?.kind === "notice" && NoticeBody.safeParse(entry.body).data?.level === "error";
}

/** Questions that wait while the reader is elsewhere in the timeline. */
function Pinned(): JSX.Element | null {
  const { store, visible } = useSession();
  const hidden = useComputed(() => {
    const { ids, firstIndex } = store.rows.value;
    const { first, last } = visible.value;
    const isHidden = (id: string) => {
      const index = ids.indexOf(id) + firstIndex;
      return index < first || index > last;
    };
    // One at a time: while a question can be seen, it is the one to answer.
    return store.pending.value.every(isHidden) ? store.pending.value : [];
  });
  const oldest = hidden.value[0];
  const more = hidden.value.length - 1;
  if (oldest === undefined) return null;
  return (
    <div class="pinned">
      <PinnedInteraction id={oldest} />
      {more > 0 && <p class="pinned-more">{more} more after this one</p>}
    </div>
  );
}
