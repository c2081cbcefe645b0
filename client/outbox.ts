/**
 * Commands on their way to the hub. A command keeps its `op` from the moment it is typed until the hub says that it
 * has stored it; until then it is sent again on every connection. The hub drops what it knows, so nothing is lost
 * and nothing is done twice. Kept in the tab's storage, so that a reload does not lose it either.
 */
import type { CommandStatus, SessionCommand } from "@/protocol/command.ts";

/** `sending`: not yet stored by the hub. `accepted`: waits for the runner. The rest are final. */
export type OutgoingStatus = "sending" | "accepted" | "applied" | "rejected" | "expired";

export interface OutgoingCommand {
  op: string;
  sessionId: string;
  command: SessionCommand;
  status: OutgoingStatus;
  /** Why it was rejected. */
  reason?: string;
  /** When it was typed (ms since the epoch). */
  at: number;
}

/** What the outbox needs of `sessionStorage`. */
export interface TextStore {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Most commands that may wait in this tab; beyond it a new one is refused, loudly. */
export const OUTBOX_MAX = 100;
const STORE_KEY = "perch.outbox";
/** Most characters of JSON that are kept across reloads. Attachments can exceed it; they then only survive reconnects. */
const STORE_MAX_CHARS = 2 * 1024 * 1024;

export class Outbox {
  #items = new Map<string, OutgoingCommand>();
  #store: TextStore | null;
  #onChange: () => void;

  constructor(store: TextStore | null, onChange: () => void = () => {}) {
    this.#store = store;
    this.#onChange = onChange;
    for (const item of readStored(store)) this.#items.set(item.op, item);
  }

  /** All commands that are not forgotten yet, oldest first. */
  get items(): OutgoingCommand[] {
    return [...this.#items.values()];
  }

  /** Takes a command. Throws a RangeError when {@linkcode OUTBOX_MAX} already wait. */
  add(sessionId: string, command: SessionCommand, op: string = crypto.randomUUID(), at: number = Date.now()): string {
    if (this.unsent().length >= OUTBOX_MAX) {
      throw new RangeError(`${OUTBOX_MAX} commands already wait for the connection; wait until it is back`);
    }
    this.#items.set(op, { op, sessionId, command, status: "sending", at });
    this.#changed();
    return op;
  }

  /** What must be sent on a new connection, in the order in which it was typed. */
  unsent(): OutgoingCommand[] {
    return this.items.filter((item) => item.status === "sending");
  }

  /**
   * Applies what the hub says of a command. Answers the command with its new status, or null when it is not ours or
   * nothing changed (a receipt may come twice; a final one is never taken back).
   */
  receipt(status: Pick<CommandStatus, "op" | "status" | "reason">): OutgoingCommand | null {
    const item = this.#items.get(status.op);
    if (!item || isFinal(item.status) || item.status === status.status) return null;
    const next: OutgoingCommand = { ...item, status: status.status };
    if (status.reason !== undefined) next.reason = status.reason;
    this.#items.set(item.op, next);
    this.#changed();
    return next;
  }

  /** Forgets a command: its effect is visible elsewhere, or its failure was read. */
  forget(op: string): void {
    if (this.#items.delete(op)) this.#changed();
  }

  #changed(): void {
    const waiting = this.items.filter((item) => item.status === "sending");
    try {
      if (waiting.length === 0) this.#store?.removeItem(STORE_KEY);
      else {
        const text = JSON.stringify(waiting);
        if (text.length <= STORE_MAX_CHARS) this.#store?.setItem(STORE_KEY, text);
      }
    } catch {
      // Storage may be full or forbidden (private mode): the commands still wait in memory.
    }
    this.#onChange();
  }
}

export function isFinal(status: OutgoingStatus): boolean {
  return status === "applied" || status === "rejected" || status === "expired";
}

function readStored(store: TextStore | null): OutgoingCommand[] {
  try {
    const value: unknown = JSON.parse(store?.getItem(STORE_KEY) ?? "[]");
    return Array.isArray(value) ? value.filter(isOutgoing) : [];
  } catch {
    return [];
  }
}

function isOutgoing(value: unknown): value is OutgoingCommand {
  const item = value as Partial<OutgoingCommand> | null;
  return typeof item?.op === "string" && typeof item.sessionId === "string" && item.status === "sending" &&
    typeof item.command === "object" && item.command !== null && typeof item.at === "number";
}
