/** Tells lists and viewers that what they show of a session or runner changed; they read it themselves. */
import type { Mesh } from "@/lib/mesh/types.ts";
import type { SessionTopicMessage, UserTopicMessage } from "./topics.ts";

/** Changes of a session within this time are told once. */
const COALESCE_MS = 100;
/** Records without a change of the row can still make the session unread: that may wait this long. */
const LAZY_MS = 2_000;

export class Hints {
  readonly #mesh: Mesh;
  readonly #due = new Map<string, { userId: string; dueMs: number }>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** The session's list row changed; told within COALESCE_MS (`lazy`: LAZY_MS). */
  sessionRow(userId: string, sessionId: string, lazy = false): void {
    const dueMs = performance.now() + (lazy ? LAZY_MS : COALESCE_MS / 2);
    const known = this.#due.get(sessionId);
    if (known !== undefined && known.dueMs <= dueMs) return;
    this.#due.set(sessionId, { userId, dueMs });
    this.#timer ??= setInterval(() => this.#tell(), COALESCE_MS / 2);
  }

  /** Its host, runner, viewers or end changed: viewers of the session are told too, at once. */
  sessionStatus(userId: string, sessionId: string): void {
    this.#due.delete(sessionId);
    this.#mesh.publish(`user:${userId}`, { type: "session_changed", sessionId } satisfies UserTopicMessage);
    this.#mesh.publish(`session:${sessionId}`, { type: "status" } satisfies SessionTopicMessage);
  }

  runner(userId: string, runnerId: string): void {
    this.#mesh.publish(`user:${userId}`, { type: "runner_changed", runnerId } satisfies UserTopicMessage);
  }

  #tell(): void {
    const nowMs = performance.now();
    for (const [sessionId, { userId, dueMs }] of this.#due) {
      if (dueMs > nowMs) continue;
      this.#due.delete(sessionId);
      this.#mesh.publish(`user:${userId}`, { type: "session_changed", sessionId } satisfies UserTopicMessage);
    }
    if (this.#due.size === 0) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
