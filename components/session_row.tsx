/** A session as a line of a list. */
import type { JSX } from "preact";
import type { SessionInfo } from "@/protocol/shared.ts";
import { baseName, plainLine, relativeTime, shortPath } from "@/client/format.ts";
import { ActivityBadge } from "./activity_badge.tsx";
import { useNow } from "./use_now.ts";

/** The name of a session; a nameless one goes by its folder. */
export function sessionTitle(session: SessionInfo): string {
  return session.sessionName ?? baseName(session.cwd);
}

interface SessionRowProps {
  session: SessionInfo;
  /** Shows where it runs, for lists that are not grouped. */
  hasPlace?: boolean;
  isCurrent?: boolean;
  /** Opens it inside the page; without it the link is followed. */
  onOpen?: (session: SessionInfo) => void;
}

export function SessionRow({ session, hasPlace = false, isCurrent = false, onOpen }: SessionRowProps): JSX.Element {
  const now = useNow();
  const isLost = session.activity !== "ended" && !session.isActive;
  const open = (event: MouseEvent) => {
    if (!onOpen || event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    onOpen(session);
  };
  const needs = session.attention > 1 ? `${session.attention} answers needed` : null;
  return (
    <li class={`session-row${session.unread ? " is-unread" : ""}${isCurrent ? " is-current" : ""}`}>
      <a
        href={`/session/${encodeURIComponent(session.sessionId)}`}
        onClick={open}
        aria-current={isCurrent ? "page" : undefined}
      >
        <span class="session-line">
          {session.unread && <span class="unread" role="img" aria-label="Unread" />}
          <span class="session-name">{sessionTitle(session)}</span>
          {now > 0 && (
            <time class="session-time" dateTime={new Date(session.lastActivityAt).toISOString()}>
              {relativeTime(session.lastActivityAt, now)}
            </time>
          )}
        </span>
        {session.preview && <span class="session-preview">{plainLine(session.preview)}</span>}
        <span class="session-facts">
          <ActivityBadge activity={session.activity} />
          {needs && <span>{needs}</span>}
          {isLost && <span class="is-lost">runner offline</span>}
          <span>{session.agent.name}</span>
          {session.agent.isDemo && <DemoTag />}
          {session.model && <span class="session-model">{session.model.name ?? session.model.id}</span>}
          {hasPlace && (
            <span class="session-place">{session.runnerName ?? "unknown runner"}: {shortPath(session.cwd)}</span>
          )}
        </span>
      </a>
    </li>
  );
}

/** Marks the built-in demo agent, wherever it appears. */
export function DemoTag(): JSX.Element {
  return <span class="tag is-demo">demo</span>;
}
