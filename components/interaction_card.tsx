/** A question to a person: what it is about, the possible answers, and afterwards who answered what. */
import { useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type Entry, InteractionBody, type InteractionOption } from "@/protocol/entry.ts";
import { relativePath } from "@/client/format.ts";
import { inputText } from "@/client/tool_summary.ts";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";
import { Printed, ToolContentView } from "./tool_call_entry.tsx";

const headlines: Record<InteractionBody["interaction"], string> = {
  permission: "Permission needed",
  question: "A question",
  confirm: "Please confirm",
  input: "Input needed",
  plan: "A plan to approve",
  trust: "Trust this folder?",
};

interface CardProps {
  entry: Entry;
  body: InteractionBody;
}

export function InteractionCard({ entry, body }: CardProps): JSX.Element {
  if (entry.head.status !== "pending") return <Answered entry={entry} body={body} />;
  return <PendingCard entry={entry} body={body} isPinned={false} />;
}

/** A waiting interaction outside of the timeline: short, with a way to where its diff or command is shown. */
export function PinnedInteraction({ id }: { id: string }): JSX.Element | null {
  const { store } = useSession();
  const entry = store.entry(id).value?.entry;
  const body = InteractionBody.safeParse(entry?.body);
  if (entry?.head.status !== "pending" || !body.success) return null;
  return <PendingCard entry={entry} body={body.data} isPinned />;
}

function PendingCard({ entry, body, isPinned }: CardProps & { isPinned: boolean }): JSX.Element {
  const { store, wanted } = useSession();
  const text = useSignal(body.prefill ?? "");
  const sent = useComputed(() =>
    store.outgoing.value.findLast(({ command }) => command.kind === "answer" && command.entryId === entry.id)
  );
  const waits = useComputed(() =>
    [...store.inbox.value.values()].some(({ command }) => command?.kind === "answer" && command.entryId === entry.id)
  );
  const status = sent.value?.status;
  const isAnswering = waits.value || status === "sending" || status === "accepted" || status === "applied";
  const answer = (outcome: "selected" | "text" | "cancelled", value: { optionId?: string; text?: string } = {}) => {
    if (sent.value) store.forget(sent.value.op);
    store.run({ kind: "answer", entryId: entry.id, outcome, ...value });
  };
  const submitText = (event: Event) => {
    event.preventDefault();
    if (text.value.trim() !== "") answer("text", { text: text.value });
  };
  const command = inputText(body.input);
  const cwd = store.info.value?.cwd ?? "";
  const hasDiff = body.content?.some((content) => content.type === "diff");
  return (
    <section class="card interaction" aria-label={headlines[body.interaction]}>
      <header>
        <Icon name="hand" />
        <h3>{headlines[body.interaction]}</h3>
        {body.toolName && <span class="quiet">{body.toolName}</span>}
        {isPinned && (
          <button type="button" class="button is-quiet is-small" onClick={() => wanted.value = entry.id}>Show</button>
        )}
      </header>
      <p class="interaction-message">{messageOf(entry, body, cwd)}</p>
      {!isPinned && command !== null && !hasDiff && <Printed label="What it wants to run" text={command} />}
      {!isPinned &&
        body.content?.map((content, at) => <ToolContentView key={at} content={content} cwd={cwd} />)}
      <div class="interaction-options">
        {ordered(body.options).map((option) => (
          <button
            key={option.optionId}
            type="button"
            class={`button ${optionClass(option, body.options)}`}
            disabled={isAnswering}
            onClick={() => answer("selected", { optionId: option.optionId })}
          >
            {option.name}
          </button>
        ))}
        {body.acceptsText && body.options.length === 0 && (
          <button
            type="button"
            class="button is-quiet"
            disabled={isAnswering}
            onClick={() => answer("cancelled")}
          >
            Dismiss
          </button>
        )}
      </div>
      {body.acceptsText && (
        <form class="interaction-text" onSubmit={submitText}>
          <AnswerField
            value={text.value}
            onInput={(value) => text.value = value}
            isDisabled={isAnswering}
            onSubmit={submitText}
          />
          <button type="submit" class="button is-primary" disabled={isAnswering || text.value.trim() === ""}>
            Answer
          </button>
        </form>
      )}
      <p class="receipt" role="status">
        {isAnswering &&
          (status === "sending" ? "Sending your answer…" : "The hub has your answer; waiting for the runner…")}
        {(status === "rejected" || status === "expired") && `Not accepted: ${sent.value?.reason ?? status}`}
      </p>
    </section>
  );
}

interface AnswerFieldProps {
  value: string;
  onInput: (value: string) => void;
  isDisabled: boolean;
  onSubmit: (event: Event) => void;
}

function AnswerField({ value, onInput, isDisabled, onSubmit }: AnswerFieldProps): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const area = field.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight + 2, 240)}px`;
  }, [value]);
  return (
    <textarea
      ref={field}
      class="field"
      rows={1}
      aria-label="Your answer"
      value={value}
      disabled={isDisabled}
      onInput={(event) => onInput(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) onSubmit(event);
      }}
    />
  );
}

function Answered({ entry, body }: { entry: Entry; body: InteractionBody }): JSX.Element {
  const { store } = useSession();
  const { answer } = body;
  const late = useComputed(() =>
    store.outgoing.value.findLast(({ command, status }) =>
      command.kind === "answer" && command.entryId === entry.id && (status === "rejected" || status === "expired")
    )
  );
  const option = body.options.find((candidate) => candidate.optionId === answer?.optionId);
  const isNo = answer?.outcome === "cancelled" || option?.kind?.startsWith("reject") || !answer;
  const what = !answer || answer.outcome === "cancelled"
    ? answer?.by ? "Dismissed" : "Withdrawn"
    : answer.outcome === "text"
    ? `“${answer.text ?? ""}”`
    : option?.name ?? "Answered";
  const row = (
    <div class="answered">
      <Icon name={isNo ? "close" : "check"} />
      <span class="answered-what">{what}</span>
      {answer?.by && <span class="quiet">by {answer.by}</span>}
      <span class="answered-about">{messageOf(entry, body, store.info.value?.cwd ?? "")}</span>
    </div>
  );
  if (!late.value) return row;
  return (
    <>
      {row}
      <p class="receipt" role="status">Your answer did not count: {late.value.reason ?? "it came too late"}</p>
    </>
  );
}

/** What is asked, with the files that it shows changes of by their short names. */
function messageOf({ head }: Entry, body: InteractionBody, cwd: string): string {
  let message = body.message ?? head.title ?? "";
  for (const content of body.content ?? []) {
    if (content.type !== "diff" || content.path === "") continue;
    message = message.replaceAll(content.path, () => relativePath(content.path, cwd));
  }
  return message;
}

/** Allowing once is what people do most: it stands first. By kind, never by position. */
function ordered(options: readonly InteractionOption[]): InteractionOption[] {
  const rank = { allow_once: 0, allow_always: 1, reject_once: 3, reject_always: 4 } as const;
  return [...options].sort((a, b) => (a.kind ? rank[a.kind] : 2) - (b.kind ? rank[b.kind] : 2));
}

function optionClass(option: InteractionOption, options: readonly InteractionOption[]): string {
  if (option.kind === "allow_once") return "is-primary";
  if (option.kind === "allow_always") return options.some(({ kind }) => kind === "allow_once") ? "" : "is-primary";
  return option.kind ? "is-danger-quiet" : "";
}
