/** Dialogs of pi's extensions as interactions: each is answered once, by a person or by being withdrawn. */
import type { Interactions } from "./interactions.ts";
import type { PiDialog } from "./pi_events.ts";
import type { JsonObject } from "./read.ts";

export class PiDialogs {
  readonly #interactions: Interactions;
  readonly #send: (record: JsonObject) => void;
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  /** `send` writes a record to pi. */
  constructor(interactions: Interactions, send: (record: JsonObject) => void) {
    this.#interactions = interactions;
    this.#send = send;
  }

  /** Opens a dialog, beside the entry of the tool call that it is about. Returns its entry's id, or null when too many wait. */
  open(dialog: PiDialog, toolEntryId: string | undefined): string | null {
    const body = { ...dialog.body, ...(toolEntryId === undefined ? {} : { toolEntryId }) };
    const entryId = this.#interactions.open(dialog.title, body, (settlement) => {
      clearTimeout(this.#timers.get(dialog.id));
      this.#timers.delete(dialog.id);
      const answer = settlement.outcome === "cancelled"
        ? { cancelled: true }
        : dialog.method === "confirm"
        ? { confirmed: settlement.optionId === "yes" }
        : { value: settlement.text ?? dialog.values.get(settlement.optionId ?? "") ?? "" };
      this.#send({ type: "extension_ui_response", id: dialog.id, ...answer });
    });
    if (entryId !== null && dialog.timeoutMs !== undefined) {
      // pi answers it itself then; an answer that comes later would mean nothing.
      this.#timers.set(dialog.id, setTimeout(() => this.#interactions.withdraw(entryId), dialog.timeoutMs));
    }
    return entryId;
  }

  dispose(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
