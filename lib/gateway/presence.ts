/** How many visible viewers of each session this isolate serves; the store adds up the live isolates' counts. */
import { errorText, type Log } from "@/lib/log.ts";
import type { SessionListStore } from "@/lib/session/types.ts";

/** Viewers that come and go within this time cause one write. */
const SETTLE_MS = 100;

export interface PresenceOptions {
  isolateId: string;
  sessions: SessionListStore;
  log: Log;
  /** Called after a count of this isolate was stored. */
  onChange(userId: string, sessionId: string): void;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #counts = new Map<string, number>();
  /** Sessions whose count is not stored yet, with their user. */
  readonly #dirty = new Map<string, string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writes: Promise<void> = Promise.resolve();

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** A viewer on this isolate began (1) or stopped (-1) looking at a session. */
  move(userId: string, sessionId: string, by: 1 | -1): void {
    const count = (this.#counts.get(sessionId) ?? 0) + by;
    if (count > 0) this.#counts.set(sessionId, count);
    else this.#counts.delete(sessionId);
    this.#dirty.set(sessionId, userId);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writes = this.#writes.then(() => this.#store());
    }, SETTLE_MS);
  }

  /** Stores what is not stored yet. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#writes;
    await this.#store();
  }

  async #store(): Promise<void> {
    const { isolateId, sessions, log, onChange } = this.#options;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const [sessionId, userId] of dirty) {
      try {
        await sessions.setViewers(userId, sessionId, isolateId, this.#counts.get(sessionId) ?? 0);
        onChange(userId, sessionId);
      } catch (error) {
        log.warn("presence_failed", { sessionId, error: errorText(error) });
      }
    }
  }
}
