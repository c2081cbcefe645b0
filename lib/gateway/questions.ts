/** Questions to one peer of a socket that it has not answered yet. */
import type { MeshPayload } from "@/lib/mesh/types.ts";

/** How long a peer may take to answer. */
export const REQUEST_TIMEOUT_MS = 15_000;
/** Questions to one peer that may be under way at once. */
const MAX_REQUESTS = 64;

/** The peer's answer, or why there is none, for the person who asked. */
export type Reply = { ok: true; answer: MeshPayload } | { ok: false; code: "unavailable"; message: string };

interface Pending {
  answers: string;
  settle(reply: Reply): void;
}

export class Questions {
  readonly #peer: string;
  readonly #pending = new Map<string, Pending>();

  /** @param peer how messages name it: "the runner" */
  constructor(peer: string) {
    this.#peer = peer;
  }

  /**
   * Asks: `send` gets the id that the answer, a message of type `answers`, must carry. Resolves within REQUEST_TIMEOUT_MS, never
   * rejects.
   */
  ask(answers: string, send: (requestId: string) => void): Promise<Reply> {
    if (this.#pending.size >= MAX_REQUESTS) {
      return Promise.resolve(unavailable(`${MAX_REQUESTS} questions wait for ${this.#peer} already; try again`));
    }
    const requestId = crypto.randomUUID();
    return new Promise((resolve) => {
      const settle = (reply: Reply) => {
        clearTimeout(timer);
        this.#pending.delete(requestId);
        resolve(reply);
      };
      const timer = setTimeout(
        () => settle(unavailable(`${this.#peer} did not answer within ${REQUEST_TIMEOUT_MS / 1000} s`)),
        REQUEST_TIMEOUT_MS,
      );
      this.#pending.set(requestId, { answers, settle });
      send(requestId);
    });
  }

  /** Takes an answer. False: nothing waits for it (it came too late, or twice). */
  answer(message: { type: string; requestId: string }): boolean {
    const pending = this.#pending.get(message.requestId);
    if (pending?.answers !== message.type) return false;
    pending.settle({ ok: true, answer: message });
    return true;
  }

  /** The peer is gone: whoever waits is told. */
  end(): void {
    for (const { settle } of [...this.#pending.values()]) settle(unavailable(`${this.#peer} went offline`));
  }
}

export function unavailable(message: string): Reply {
  return { ok: false, code: "unavailable", message };
}
