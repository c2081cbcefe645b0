/** A runner's own page: what it is, its exposed ports, its sessions. */
import { useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { attentionFirst } from "@/client/grouping.ts";
import { plural, shortPath } from "@/client/format.ts";
import { type LiveList, liveRunners, type LiveSessions, liveSessions } from "@/client/live_lists.ts";
import { TunnelList } from "@/client/tunnel_list.ts";
import type { RunnerInfo } from "@/protocol/shared.ts";
import { ConnectionBadge } from "./connection_badge.tsx";
import { Icon } from "./icons.tsx";
import { RunnerState, WaitingTerminals } from "./runner_row.tsx";
import { SessionRow, sessionTitle } from "./session_row.tsx";
import { StoppedBanner } from "./stopped_banner.tsx";
import { TunnelPanel } from "./tunnel_panel.tsx";

export function RunnerPageView({ runnerId }: { runnerId: string }): JSX.Element {
  const lists = useSignal<{ sessions: LiveSessions; runners: LiveList<RunnerInfo> } | null>(null);
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
  const runners = lists.value?.runners.items.value;
  const runner = runners?.get(runnerId);
  useEffect(() => {
    if (runner) document.title = `${runner.name} · Perch`;
  }, [runner?.name]);
  return (
    <>
      <header class="topbar">
        <a class="button is-quiet is-icon" href="/" aria-label="All sessions">
          <Icon name="back" />
        </a>
        <h1 class="name">{runner?.name ?? "Runner"}</h1>
        {runner && <RunnerState runner={runner} />}
        <span class="spacer" />
        {lists.value && <ConnectionBadge state={lists.value.runners.state} />}
      </header>
      <main class="settings">
        {lists.value && <StoppedBanner state={lists.value.runners.state} />}
        {lists.value && runner
          ? <Live runner={runner} sessions={lists.value.sessions} />
          : (
            <p class="quiet centered" role="status">
              {runners ? "There is no such runner, or it was removed." : "Loading the runner…"}
            </p>
          )}
      </main>
    </>
  );
}

function Live({ runner, sessions }: { runner: RunnerInfo; sessions: LiveSessions }): JSX.Element {
  const { runnerId } = runner;
  const tunnels = useMemo(() => new TunnelList({ runnerId }), [runnerId]);
  const changes = sessions.tunnelChanges.value;
  // What is shown of a tunnel's runner is read with it.
  useEffect(() => void tunnels.refresh(), [tunnels, changes, runner.isConnected]);
  const open = useComputed(() => {
    const mine = [...sessions.items.value?.values() ?? []].filter((session) => session.runnerId === runnerId);
    const waiting = attentionFirst(mine);
    const running = mine.filter((session) => session.activity !== "ended" && !waiting.includes(session));
    return [...waiting, ...running.sort((a, b) => b.lastActivityAt - a.lastActivityAt)];
  });
  const choices = open.value.map((session) => ({ sessionId: session.sessionId, title: sessionTitle(session) }));
  return (
    <>
      <section class="runner-about" aria-label="About this runner">
        <p class="quiet">
          {runner.platform} · version {runner.version} · {runner.roots.map(shortPath).join(", ")}
        </p>
        {runner.warnings.map((warning) => <p key={warning} class="problem">{warning}</p>)}
        {runner.isConnected && (
          <a class="button" href={`/terminal/${encodeURIComponent(runnerId)}`}>
            <Icon name="terminal" />
            {runner.terminals?.count ? plural(runner.terminals.count, "terminal") : "Terminal"}
          </a>
        )}
        <WaitingTerminals runner={runner} />
      </section>
      <section class="panel" aria-labelledby="runner-ports">
        <h2 id="runner-ports">Ports</h2>
        <TunnelPanel
          list={tunnels}
          runnerId={runnerId}
          isConnected={runner.isConnected}
          sessionId={null}
          sessions={choices}
          hosts={runner.tunnelHosts ?? []}
        />
      </section>
      <section class="panel" aria-labelledby="runner-sessions">
        <h2 id="runner-sessions">Sessions</h2>
        {open.value.length > 0
          ? (
            <ul class="session-list">
              {open.value.map((session) => <SessionRow key={session.sessionId} session={session} />)}
            </ul>
          )
          : (
            <p class="quiet">
              None is open. {plural(runner.sessionCount, "session")} ran here so far.
            </p>
          )}
      </section>
    </>
  );
}
