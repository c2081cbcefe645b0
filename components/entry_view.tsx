/** One entry of the timeline, by its kind. Re-renders only when that entry changes. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { entryBodies, isOpen } from "@/protocol/entry.ts";
import type { NoticeBody, UserMessageBody } from "@/protocol/entry.ts";
import type { TimelineEntry } from "@/protocol/log/timeline.ts";
import { duration } from "@/client/format.ts";
import { Attachments } from "./attachments.tsx";
import { Icon } from "./icons.tsx";
import { InteractionCard } from "./interaction_card.tsx";
import { Markdown } from "./markdown.tsx";
import { useSession } from "./session_context.ts";
import { ToolCallEntry } from "./tool_call_entry.tsx";
import { useOpened } from "./use_opened.ts";

export function EntryView({ id }: { id: string }): JSX.Element | null {
  const { store } = useSession();
  const shown = store.entry(id).value;
  return shown ? <KnownEntry {...shown} /> : null;
}

/** A body that does not fit its schema comes from a newer host: say so instead of guessing. */
function Unreadable({ kind }: { kind: string }): JSX.Element {
  return <p class="notice is-warning">This {kind.replace("_", " ")} cannot be shown by this version of the page.</p>;
}

function KnownEntry({ entry, appended }: TimelineEntry): JSX.Element {
  const body = useMemo(() => ({ kind: entry.kind, ...entryBodies[entry.kind].safeParse(entry.body) }), [entry]);
  if (!body.success) return <Unreadable kind={entry.kind} />;
  const open = isOpen(entry.head.status);
  const { kind, data } = body;
  switch (kind) {
    case "user_message":
      return <UserMessage body={data as UserMessageBody} />;
    case "agent_message": {
      const text = (data as { text: string }).text + appended;
      return (
        <div class={`agent-message${open ? " is-open" : ""}`}>
          {text === ""
            ? (
              <p class="typing" aria-label="The agent is writing">
                <i />
                <i />
                <i />
              </p>
            )
            : <Markdown text={text} isOpen={open} />}
          {entry.head.status === "cancelled" && <p class="cut-note">Stopped here.</p>}
        </div>
      );
    }
    case "thought":
      return <Thought entry={entry} text={(data as { text: string }).text + appended} />;
    case "tool_call":
      return <ToolCallEntry entry={entry} body={data as never} appended={appended} />;
    case "interaction":
      return <InteractionCard entry={entry} body={data as never} />;
    case "notice":
      return <Notice body={data as NoticeBody} />;
  }
}

function UserMessage({ body }: { body: UserMessageBody }): JSX.Element {
  return (
    <article class="user-message" aria-label={body.from ? `${body.from} wrote` : "You wrote"}>
      {body.delivery === "steer" && <p class="message-label">Steered into the running turn</p>}
      <div class="user-text">{body.text}</div>
      {body.attachments && <Attachments attachments={body.attachments} />}
    </article>
  );
}

function Thought({ entry, text }: { entry: TimelineEntry["entry"]; text: string }): JSX.Element {
  const [isShown, setShown] = useOpened(entry.id, false);
  const { startedAt, endedAt, status } = entry.head;
  const title = isOpen(status)
    ? "Thinking…"
    : endedAt !== undefined
    ? `Thought for ${duration(endedAt - startedAt)}`
    : "Thought";
  return (
    <details class="fold thought" open={isShown} onToggle={(event) => setShown(event.currentTarget.open)}>
      <summary>
        <Icon name="think" />
        <span class="fold-title">{title}</span>
        <Icon name="chevron" />
      </summary>
      {isShown && (
        <div class="fold-body">
          <Markdown text={text} isOpen={isOpen(status)} />
        </div>
      )}
    </details>
  );
}

function Notice({ body }: { body: NoticeBody }): JSX.Element {
  return (
    <div class={`notice is-${body.level}`} role={body.level === "error" ? "alert" : undefined}>
      <p>
        {body.level !== "info" && <Icon name="warning" />}
        {body.level !== "info" && <span class="visually-hidden">{body.level}:</span>} {body.text}
      </p>
      {body.detail && (
        <details>
          <summary>Details</summary>
          <pre tabIndex={0}>{body.detail}</pre>
        </details>
      )}
    </div>
  );
}
