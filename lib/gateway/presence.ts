/** How many viewers a session has, over all isolates: one row an isolate, counted while that isolate is alive. */
import { errorText, type Log } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";

/** Viewers that come and go within this time cause one write. */
const SETTLE_MS = 100;
/** Rows of isolates that died are not counted; KV drops them after this time. */
const EXPIRE_MS = 24 * 60 * 60 * 1000;

export interface PresenceOptions {
  kv: Deno.Kv;
  mesh: Mesh;
  log: Log;
  /** Called after a count of this isolate was stored. */
  onChange(userId: string, sessionId: string): void;
}

export class Presence {
  readonly #options: PresenceOptions;
  /** Viewers of each session on this isolate that are visible. */
  readonly #counts = new Map<string, { userId: string; count: number }>();
  readonly #dirty = new Map<string, string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writes: Promise<void> = Promise.resolve();

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** A viewer on this isolate began (1) or stopped (-1) looking at a session. */
  move(userId: string, sessionId: string, by: 1 | -1): void {
    const slot = this.#counts.get(sessionId) ?? { userId, count: 0 };
    slot.count += by;
    if (slot.count > 0) this.#counts.set(sessionId, slot);
    else this.#counts.delete(sessionId);
    this.#dirty.set(sessionId, userId);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writes = this.#writes.then(() => this.#store());
    }, SETTLE_MS);
  }

  /** Viewers of each of a user's sessions, over all live isolates. */
  async counts(userId: string, sessionId?: string): Promise<Map<string, number>> {
    const { kv, mesh } = this.#options;
    const prefix = sessionId === undefined ? ["presence", userId] : ["presence", userId, sessionId];
    const counts = new Map<string, number>();
    for await (const { key, value } of kv.list<number>({ prefix }, { consistency: "eventual" })) {
      const [, , session, isolateId] = key;
      if (typeof session !== "string" || typeof isolateId !== "string" || !mesh.isLive(isolateId)) continue;
      counts.set(session, (counts.get(session) ?? 0) + value);
    }
    return counts;
  }

  /** Forgets this isolate's viewers, in KV too. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [sessionId, { userId }] of this.#counts) this.#dirty.set(sessionId, userId);
    this.#counts.clear();
    await this.#writes;
    await this.#store();
  }

  async #store(): Promise<void> {
    const { kv, mesh, log, onChange } = this.#options;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const [sessionId, userId] of dirty) {
      const key = ["presence", userId, sessionId, mesh.isolateId];
      const count = this.#counts.get(sessionId)?.count ?? 0;
      try {
        if (count > 0) await kv.set(key, count, { expireIn: EXPIRE_MS });
        else await kv.delete(key);
        onChange(userId, sessionId);
      } catch (error) {
        log.warn("presence_failed", { sessionId, error: errorText(error) });
      }
    }
  }
}
