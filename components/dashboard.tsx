/** The dashboard: what needs a person first, then everything by runner and folder. */
import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { attentionFirst, groupSessions, needsAttention } from "@/client/grouping.ts";
import { LazyModule } from "@/client/lazy_module.ts";
import { type LiveList, liveRunners, liveSessions } from "@/client/live_lists.ts";
import type { RunnerInfo, SessionInfo } from "@/protocol/shared.ts";
import { ConnectionBadge } from "./connection_badge.tsx";
import { ConnectRunner } from "./connect_runner.tsx";
import { DemoStart } from "./demo_start.tsx";
import { Icon, Mark } from "./icons.tsx";
import { RunnerRow } from "./runner_row.tsx";
import { SessionGroups } from "./session_groups.tsx";
import { SessionRow } from "./session_row.tsx";
import { StoppedBanner } from "./stopped_banner.tsx";

interface Lists {
  sessions: LiveList<SessionInfo>;
  runners: LiveList<RunnerInfo>;
}

export function DashboardView(): JSX.Element {
  const lists = useSignal<Lists | null>(null);
  useEffect(() => {
    const made = { sessions: liveSessions(), runners: liveRunners() };
    lists.value = made;
    made.sessions.start();
    made.runners.start();
    return () => {
      made.sessions.dispose();
      made.runners.dispose();
    };
  }, []);
  return lists.value ? <Live lists={lists.value} /> : (
    <Shell>
      <Waiting />
    </Shell>
  );
}

function Shell(
  props: { children: ComponentChildren; end?: ComponentChildren; action?: ComponentChildren },
): JSX.Element {
  return (
    <>
      <header class="topbar">
        <a class="brand" href="/">
          <Mark />
          <span>Perch</span>
        </a>
        {props.end}
        <span class="spacer" />
        {props.action}
        <a class="button is-quiet is-icon" href="/settings" aria-label="Settings">
          <Icon name="settings" />
        </a>
      </header>
      <main class="dashboard">{props.children}</main>
    </>
  );
}

function Waiting(): JSX.Element {
  return <p class="quiet centered" role="status">Loading your sessions…</p>;
}

function Live({ lists: { sessions, runners } }: { lists: Lists }): JSX.Element {
  const isCreating = useSignal(false);
  const dialog = useMemo(() => new LazyModule(() => import("./new_session_dialog.tsx")), []);
  const attention = useComputed(() => attentionFirst(sessions.items.value?.values() ?? []));
  const groups = useComputed(() =>
    groupSessions(
      [...sessions.items.value?.values() ?? []].filter((session) => !needsAttention(session)),
      runners.items.value?.values() ?? [],
    )
  );
  useEffect(() => {
    if (new URLSearchParams(location.search).has("new")) {
      history.replaceState(null, "", "/");
      isCreating.value = true;
    }
  }, []);
  useEffect(() => {
    const count = attention.value.length;
    document.title = count > 0 ? `(${count}) Perch` : "Perch";
  }, [attention.value.length]);

  const known = runners.items.value;
  const open = () => isCreating.value = true;
  const isLoaded = sessions.items.value !== null && known !== null;
  // Not before the lists are there: the dialog chooses the runner and the folder from them.
  const NewSessionDialog = isCreating.value && isLoaded ? dialog.module.value?.NewSessionDialog : undefined;
  return (
    <Shell
      end={<ConnectionBadge state={sessions.state} />}
      action={known && known.size > 0
        ? (
          <button type="button" class="button is-primary" onClick={open}>
            <Icon name="plus" />New session
          </button>
        )
        : null}
    >
      <StoppedBanner state={sessions.state} />
      {isCreating.value && dialog.hasFailed.value && (
        <div class="banner" role="alert">
          <p>The form could not be loaded. The hub may have been updated, or the connection is gone.</p>
          <button type="button" class="button" onClick={() => location.assign("/?new")}>Reload</button>
        </div>
      )}
      {isLoaded
        ? <Content known={known} attention={attention.value} groups={groups.value} onNew={open} />
        : <Waiting />}
      {NewSessionDialog && (
        <NewSessionDialog
          sessions={sessions.items}
          runners={runners.items}
          onClose={() => isCreating.value = false}
        />
      )}
    </Shell>
  );
}

interface ContentProps {
  known: ReadonlyMap<string, RunnerInfo>;
  attention: SessionInfo[];
  groups: ReturnType<typeof groupSessions>;
  onNew: () => void;
}

function Content({ known, attention, groups, onNew }: ContentProps): JSX.Element {
  if (known.size === 0 && groups.length === 0 && attention.length === 0) {
    return (
      <section class="empty">
        <Mark size={56} />
        <h1>Connect your first machine</h1>
        <p>
          A runner is the small program that hosts your agents, on the machine where your code lives. It calls this hub;
          nothing on your machine needs to be open to the network.
        </p>
        <ConnectRunner />
      </section>
    );
  }
  return (
    <div class="dashboard-columns">
      <div class="dashboard-main">
        {attention.length > 0 && (
          <section class="attention" aria-label="Needs you">
            <h2>
              <Icon name="hand" />Needs you
            </h2>
            <ul class="session-list">
              {attention.map((session) => <SessionRow key={session.sessionId} session={session} hasPlace />)}
            </ul>
          </section>
        )}
        {groups.length > 0 || attention.length > 0 ? <SessionGroups groups={groups} /> : (
          <section class="empty">
            <Mark size={56} />
            <h1>No session yet</h1>
            <p>
              A session is one conversation with an agent in one folder. See how it works with the built-in demo, or
              start a real one.
            </p>
            <DemoStart runners={[...known.values()]} onNew={onNew} />
          </section>
        )}
      </div>
      <aside class="dashboard-side" aria-label="Runners">
        <h2>Runners</h2>
        <ul class="rows">{[...known.values()].map((runner) => <RunnerRow key={runner.runnerId} runner={runner} />)}</ul>
        {known.size === 0 && <ConnectRunner />}
        {known.size > 0 && <a class="quiet-link" href="/settings">Connect another machine</a>}
      </aside>
    </div>
  );
}
