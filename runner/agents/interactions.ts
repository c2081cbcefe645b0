/** The interactions of one agent that wait for a person: opened, answered once, withdrawn when the turn ends. */
import type { InteractionAnswer, InteractionBody, SessionCommand } from "@/protocol/mod.ts";
import { AgentRefusal, type SessionWriter } from "./agent.ts";
import { newEntryId } from "./timeline.ts";
import { clip } from "./tool_output.ts";

/** Most interactions that may wait at once; more are cancelled at once, and a log line says so. */
export const maxPendingInteractions = 100;

export interface Settlement {
  outcome: InteractionAnswer["outcome"];
  optionId?: string;
  text?: string;
}

type AnswerCommand = Extract<SessionCommand, { kind: "answer" }> & { op: string; by: string };

interface Pending {
  title: string;
  startedAt: number;
  body: InteractionBody;
  settle(settlement: Settlement): void;
}

export class Interactions {
  readonly #session: SessionWriter;
  readonly #pending = new Map<string, Pending>();

  constructor(session: SessionWriter) {
    this.#session = session;
  }

  get size(): number {
    return this.#pending.size;
  }

  /**
   * Opens an interaction entry. `settle` is called once: with a person's answer, or with `cancelled` when it is withdrawn.
   * Returns the entry's id, or null when too many wait already (`settle` has then been called).
   */
  open(title: string, body: InteractionBody, settle: (settlement: Settlement) => void): string | null {
    if (this.#pending.size >= maxPendingInteractions) {
      settle({ outcome: "cancelled" });
      return null;
    }
    const entryId = newEntryId("i");
    const pending: Pending = { title: clip(title, 500), startedAt: Date.now(), body, settle };
    this.#pending.set(entryId, pending);
    this.#session.upsert({
      id: entryId,
      kind: "interaction",
      head: { status: "pending", startedAt: pending.startedAt, title: pending.title, attention: true },
      body,
    });
    return entryId;
  }

  /** Settles an interaction with a person's answer. Throws AgentRefusal when it is not pending or the answer does not fit. */
  answer(command: AnswerCommand): void {
    const pending = this.#pending.get(command.entryId);
    if (!pending) throw new AgentRefusal(this.#whyNotPending(command.entryId));
    if (command.outcome === "selected") {
      const option = pending.body.options.find((candidate) => candidate.optionId === command.optionId);
      if (!option) {
        const known = pending.body.options.map((candidate) => candidate.optionId).join(", ") || "none";
        throw new AgentRefusal(`there is no option "${command.optionId ?? ""}" here; the options are: ${known}`);
      }
    }
    if (command.outcome === "text" && !pending.body.acceptsText) {
      throw new AgentRefusal("this request takes one of its options, not a text");
    }
    const settlement: Settlement = {
      outcome: command.outcome,
      ...(command.outcome === "selected" ? { optionId: command.optionId } : {}),
      ...(command.outcome === "text" ? { text: command.text ?? "" } : {}),
    };
    this.#close(command.entryId, pending, settlement, { by: command.by, op: command.op });
  }

  /** Withdraws one interaction; does nothing when it is not pending. */
  withdraw(entryId: string): void {
    const pending = this.#pending.get(entryId);
    if (pending) this.#close(entryId, pending, { outcome: "cancelled" }, {});
  }

  /** Withdraws all that wait. */
  withdrawAll(): void {
    for (const entryId of [...this.#pending.keys()]) this.withdraw(entryId);
  }

  #close(entryId: string, pending: Pending, settlement: Settlement, who: { by?: string; op?: string }): void {
    this.#pending.delete(entryId);
    const at = Date.now();
    this.#session.upsert({
      id: entryId,
      kind: "interaction",
      head: {
        status: settlement.outcome === "cancelled" ? "cancelled" : "completed",
        startedAt: pending.startedAt,
        endedAt: at,
        title: pending.title,
      },
      body: { ...pending.body, answer: { ...settlement, ...who, at } },
    });
    pending.settle(settlement);
  }

  #whyNotPending(entryId: string): string {
    const entry = this.#session.entry<"interaction">(entryId);
    if (!entry || entry.kind !== "interaction") return `there is no request "${entryId}" in this session`;
    const answer = entry.body.answer;
    if (!answer || answer.by === undefined) return "the agent has withdrawn this request";
    const option = entry.body.options.find((candidate) => candidate.optionId === answer.optionId);
    const what = option ? ` with "${option.name}"` : answer.outcome === "cancelled" ? " by cancelling it" : "";
    return `${answer.by} has already answered this request${what}`;
  }
}
