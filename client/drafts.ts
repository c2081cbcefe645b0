/** What was typed and not sent, kept per session on this device. */
import type { TextStore } from "./outbox.ts";

const PREFIX = "perch.draft.";
/** Longer drafts are kept in the page only. */
const DRAFT_MAX_CHARS = 100_000;

export function readDraft(store: TextStore, sessionId: string): string {
  try {
    return store.getItem(PREFIX + sessionId) ?? "";
  } catch {
    return "";
  }
}

/** Keeps the draft, or forgets it when it is empty. Storage that is full or forbidden costs only the keeping. */
export function writeDraft(store: TextStore, sessionId: string, text: string): void {
  try {
    if (text === "") store.removeItem(PREFIX + sessionId);
    else if (text.length <= DRAFT_MAX_CHARS) store.setItem(PREFIX + sessionId, text);
  } catch {
    return;
  }
}
