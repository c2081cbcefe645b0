/** Where prompts are written. Keeps the draft, never loses what was typed, and never sends what an IME is still composing. */
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { terminalAgentId } from "@/protocol/command.ts";
import type { Attachment } from "@/protocol/shared.ts";
import { completedDraft, offeredCommands } from "@/client/command_completion.ts";
import { readDraft, writeDraft } from "@/client/drafts.ts";
import { PICTURES_MAX, PICTURES_TOTAL_MAX_CHARS, readPicture } from "@/client/pictures.ts";
import { limits } from "@/protocol/limits.ts";
import { pictureSource } from "./attachments.tsx";
import { Icon } from "./icons.tsx";
import { useSession } from "./session_context.ts";

type Delivery = "prompt" | "steer" | "follow_up";
const MAX_HEIGHT_PX = 280;

export function Composer(): JSX.Element {
  const { store } = useSession();
  const text = useSignal("");
  const pictures = useSignal<Attachment[]>([]);
  const problem = useSignal<string | null>(null);
  const delivery = useSignal<Delivery>("prompt");
  const active = useSignal(-1);
  const isListClosed = useSignal(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const files = useRef<HTMLInputElement>(null);
  const listId = useId();
  const { can, commands } = store.meta.value;
  const activity = store.activity.value;
  const isWorking = activity === "working" || activity === "waiting";
  const isTerminal = store.info.value?.agent.id === terminalAgentId;
  const isSteerable = isWorking && (can.steer || can.followUp);
  const offered = useComputed(() => isListClosed.value ? [] : offeredCommands(text.value, store.meta.value.commands));

  useEffect(() => {
    text.value = readDraft(localStorage, store.sessionId);
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [store]);
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, MAX_HEIGHT_PX)}px`;
  }, [text.value]);
  useSignalEffect(() => {
    const item = store.returned.value;
    if (item?.command.kind !== "prompt") return;
    const { text: returned, attachments } = item.command;
    const draft = text.peek();
    write(draft.trim() === "" || draft === returned ? returned : `${returned}\n\n${draft}`);
    if (attachments) pictures.value = [...attachments, ...pictures.peek()].slice(0, PICTURES_MAX);
    store.returned.value = null;
  });

  const write = (next: string) => {
    text.value = next;
    active.value = -1;
    isListClosed.value = false;
    writeDraft(localStorage, store.sessionId, next);
  };
  const send = () => {
    const prompt = text.value.trim();
    if ((prompt === "" && pictures.value.length === 0)) return;
    if (prompt.length > limits.promptChars) {
      problem.value = `This prompt has ${prompt.length} characters; at most ${limits.promptChars} can be sent.`;
      return;
    }
    const attachments = pictures.value;
    try {
      store.run({
        kind: "prompt",
        text: prompt,
        delivery: isSteerable ? delivery.value : "prompt",
        ...(attachments.length > 0 ? { attachments } : {}),
      });
    } catch (error) {
      problem.value = (error as Error).message;
      return;
    }
    problem.value = null;
    pictures.value = [];
    write("");
  };
  const stop = () => store.run({ kind: "cancel" });
  const complete = (at: number) => {
    const command = offered.value[at];
    if (command) write(completedDraft(command));
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing || event.keyCode === 229) return;
    const count = offered.value.length;
    if (count > 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      active.value =
        (Math.max(active.value, event.key === "ArrowUp" ? 0 : -1) + (event.key === "ArrowDown" ? 1 : -1) + count) %
        count;
    } else if (count > 0 && (event.key === "Tab" || (event.key === "Enter" && active.value >= 0))) {
      event.preventDefault();
      complete(Math.max(0, active.value));
    } else if (event.key === "Escape") {
      if (count > 0) isListClosed.value = true;
      // In a terminal it would end the program.
      else if (isWorking && !isTerminal) stop();
    } else if (event.key === "Enter" && !event.shiftKey && !matchMedia("(pointer: coarse)").matches) {
      event.preventDefault();
      send();
    }
  };
  const addPictures = async (added: Iterable<File>) => {
    problem.value = null;
    for (const file of added) {
      if (pictures.value.length >= PICTURES_MAX) {
        problem.value = `At most ${PICTURES_MAX} pictures can go with a prompt.`;
        return;
      }
      try {
        const picture = await readPicture(file);
        const total = [...pictures.value, picture].reduce((sum, one) => sum + (one.data?.length ?? 0), 0);
        if (total > PICTURES_TOTAL_MAX_CHARS) {
          throw new Error("These pictures are too large together; send them one by one.");
        }
        pictures.value = [...pictures.value, picture];
      } catch (error) {
        problem.value = (error as Error).message;
      }
    }
  };
  const onPaste = (event: ClipboardEvent) => {
    const pasted = [...event.clipboardData?.files ?? []].filter((file) => file.type.startsWith("image/"));
    if (!can.image || pasted.length === 0) return;
    event.preventDefault();
    addPictures(pasted);
  };

  const isEmpty = text.value.trim() === "" && pictures.value.length === 0;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {offered.value.length > 0 && (
        <ul class="completion" id={listId} role="listbox" aria-label="Commands">
          {offered.value.map((command, at) => (
            <li
              key={command.name}
              id={`${listId}-${at}`}
              role="option"
              aria-selected={at === active.value}
              onPointerDown={(event) => {
                event.preventDefault();
                complete(at);
              }}
            >
              <span class="completion-name">/{command.name.replace(/^\//, "")}</span>
              <span class="quiet">{command.description ?? command.hint}</span>
            </li>
          ))}
        </ul>
      )}
      {pictures.value.length > 0 && (
        <ul class="attachments">
          {pictures.value.map((picture, at) => (
            <li key={picture.attachmentId ?? at}>
              <img src={pictureSource(picture) ?? ""} alt={picture.filename ?? "Picture"} />
              <button
                type="button"
                class="button is-quiet is-icon"
                aria-label={`Remove ${picture.filename ?? "picture"}`}
                onClick={() => pictures.value = pictures.value.filter((other) => other !== picture)}
              >
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <textarea
        ref={field}
        class="composer-field"
        rows={1}
        value={text.value}
        placeholder={isTerminal
          ? "Type it into the terminal, with Enter"
          : placeholder(isWorking, isSteerable, delivery.value)}
        aria-label="Prompt"
        aria-controls={offered.value.length > 0 ? listId : undefined}
        aria-activedescendant={active.value >= 0 ? `${listId}-${active.value}` : undefined}
        enterkeyhint="enter"
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={onKeyDown}
        onPaste={onPaste}
      />
      <div class="composer-bar">
        {can.image && (
          <>
            <input
              ref={files}
              type="file"
              accept="image/png,image/jpeg,image/gif,image/webp"
              multiple
              hidden
              onChange={(event) => {
                addPictures([...event.currentTarget.files ?? []]);
                event.currentTarget.value = "";
              }}
            />
            <button
              type="button"
              class="button is-quiet is-icon"
              aria-label="Add pictures"
              onClick={() => files.current?.click()}
            >
              <Icon name="image" />
            </button>
          </>
        )}
        {commands.length > 0 && isEmpty && (
          <button
            type="button"
            class="button is-quiet is-icon"
            aria-label="Commands of this agent"
            onClick={() => {
              write("/");
              field.current?.focus();
            }}
          >
            <span class="slash" aria-hidden="true">/</span>
          </button>
        )}
        {problem.value && <p class="problem" role="alert">{problem.value}</p>}
        <span class="spacer" />
        {isSteerable && !isEmpty && (
          <select
            class="select is-small"
            aria-label="When to send"
            value={delivery.value}
            onChange={(event) => delivery.value = event.currentTarget.value as Delivery}
          >
            <option value="prompt">After this turn</option>
            {can.steer && <option value="steer">Steer this turn</option>}
            {can.followUp && <option value="follow_up">When all is done</option>}
          </select>
        )}
        {isTerminal && <button type="button" class="button is-stop" onClick={stop}>Ctrl-C</button>}
        {isWorking && !isTerminal && (
          <button
            type="button"
            class={`button is-stop${isEmpty ? "" : " is-icon"}`}
            onClick={stop}
            title="Stop (Esc)"
            aria-label="Stop"
          >
            <Icon name="stop" />
            {isEmpty && "Stop"}
          </button>
        )}
        {(!isWorking || !isEmpty || isTerminal) && (
          <button
            type="submit"
            class="button is-primary is-send"
            aria-label={isWorking ? "Send while it works" : "Send"}
            disabled={isEmpty}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}

function placeholder(isWorking: boolean, isSteerable: boolean, delivery: Delivery): string {
  if (!isWorking) return "Ask for something";
  return isSteerable && delivery === "steer" ? "Steer it" : "Write what comes next";
}
