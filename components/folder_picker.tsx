/** A folder of a runner: typed or chosen, with completion from the runner. An ARIA combobox with a list. */
import { type ReadonlySignal, useComputed, useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { FileEntry } from "@/protocol/runner.ts";
import { api, errorText } from "@/client/api.ts";
import {
  type FolderPickerAction,
  folderPickerReducer,
  folderQuery,
  type FolderSuggestion,
  folderSuggestions,
  initialFolderPicker,
} from "@/client/folder_completion.ts";
import { shortPath } from "@/client/format.ts";
import { Icon } from "./icons.tsx";

const Listing = z.object({
  path: z.string(),
  entries: z.array(FileEntry),
});
/** A person types faster than folders need to be listed. */
const TYPING_PAUSE_MS = 120;

interface FolderPickerProps {
  runnerId: string;
  roots: readonly string[];
  recent: readonly string[];
  /** The chosen path. */
  value: ReadonlySignal<string>;
  onChange: (path: string) => void;
  error?: string | undefined;
}

export function FolderPicker({ runnerId, roots, recent, value, onChange, error }: FolderPickerProps): JSX.Element {
  const id = useId();
  const state = useSignal(initialFolderPicker(value.peek(), roots));
  const list = useRef<HTMLUListElement>(null);
  const suggestions = useComputed(() => folderSuggestions(state.value, recent));
  const dispatch = (action: FolderPickerAction) => {
    state.value = folderPickerReducer(state.value, action);
    if (action.type === "typed") onChange(action.text);
    if (action.type === "chose") onChange(action.path);
  };
  const query = folderQuery(state.value.text, roots);
  const parent = query?.parent;
  const prefix = query?.prefix ?? "";

  useEffect(() => {
    if (parent === undefined || !state.value.isOpen) return;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      const answer = await listFolder(runnerId, parent, prefix);
      if (!stop.signal.aborted) dispatch(answer);
    }, TYPING_PAUSE_MS);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [runnerId, parent, prefix, state.value.isOpen]);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [state.value.active]);

  /** A chosen folder ends with its separator, so that the next level is offered at once. */
  const choose = (suggestion: FolderSuggestion, keepOpen: boolean) => {
    const slash = suggestion.path.includes("\\") && !suggestion.path.includes("/") ? "\\" : "/";
    const path = suggestion.source === "listed" && keepOpen
      ? suggestion.path.replace(/[\\/]?$/, slash)
      : suggestion.path;
    dispatch({ type: "chose", path, keepOpen });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    const { isOpen, active } = state.value;
    const count = suggestions.value.length;
    const chosen = suggestions.value[active];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      dispatch({ type: "moved", by: event.key === "ArrowDown" ? 1 : -1, count });
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      event.stopPropagation();
      dispatch({ type: "closed" });
    } else if (event.key === "Enter" && isOpen && chosen) {
      event.preventDefault();
      choose(chosen, false);
    } else if (
      event.key === "Tab" && !event.shiftKey && isOpen && state.value.text !== "" &&
      (chosen ?? (count === 1 ? suggestions.value[0] : undefined))
    ) {
      event.preventDefault();
      choose((chosen ?? suggestions.value[0])!, true);
    }
  };
  const isShown = state.value.isOpen && suggestions.value.length > 0;
  return (
    <div class="form-field combobox">
      <label for={id}>Folder</label>
      <div class="combobox-field">
        <input
          id={id}
          class="field mono"
          role="combobox"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          aria-expanded={isShown}
          aria-controls={`${id}-list`}
          aria-autocomplete="list"
          aria-activedescendant={state.value.active >= 0 ? `${id}-${state.value.active}` : undefined}
          aria-invalid={error ? true : undefined}
          aria-describedby={`${id}-hint`}
          placeholder={roots[0] ?? "/path/of/the/folder"}
          value={state.value.text}
          onInput={(event) => dispatch({ type: "typed", text: event.currentTarget.value })}
          onFocus={() => dispatch({ type: "opened" })}
          onBlur={() => dispatch({ type: "closed" })}
          onKeyDown={onKeyDown}
        />
        {isShown && (
          <ul class="completion" id={`${id}-list`} role="listbox" aria-label="Folders" ref={list}>
            {suggestions.value.map((suggestion, at) => (
              <li
                key={suggestion.path}
                id={`${id}-${at}`}
                role="option"
                aria-selected={at === state.value.active}
                onPointerDown={(event) => {
                  event.preventDefault();
                  choose(suggestion, suggestion.source === "listed");
                }}
              >
                <Icon name="folder" />
                <span class="completion-name">
                  {suggestion.source === "listed" ? suggestion.label : shortPath(suggestion.path)}
                </span>
                {suggestion.source !== "listed" && (
                  <span class="quiet">{suggestion.source === "recent" ? "recent" : "root"}</span>
                )}
                {suggestion.isGitRepo && <span class="quiet">git</span>}
              </li>
            ))}
          </ul>
        )}
      </div>{" "}
      <p class={error || state.value.error ? "problem" : "hint"} id={`${id}-hint`} role={error ? "alert" : undefined}>
        {error ?? state.value.error ?? "Tab completes, arrows choose."}
      </p>
    </div>
  );
}

async function listFolder(runnerId: string, parent: string, prefix: string): Promise<FolderPickerAction> {
  try {
    const query = new URLSearchParams({ path: parent, prefix });
    const answer = await api(Listing, "GET", `/api/runners/${encodeURIComponent(runnerId)}/files?${query}`);
    const folders = answer.entries.filter(({ kind }) => kind !== "file");
    return {
      type: "listed",
      parent,
      folders: folders.map(({ name, isGitRepo }) => ({ name, isGitRepo: isGitRepo ?? false })),
    };
  } catch (error) {
    return { type: "failed", parent, error: errorText(error) };
  }
}
