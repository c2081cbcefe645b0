/** What one user may have and do on this isolate, so that one account cannot take the hub from the others. */
import { type Bounds, Budget } from "@/lib/rate_limit.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import { GatewayError } from "./context.ts";

/** How long a count that was read is believed. It is corrected before anybody is refused because of it. */
const BELIEVED_MS = 60_000;
/** A user at the bound is counted again at most this often. */
const RECOUNT_MS = 2_000;
/** Users that are remembered before those who did nothing are forgotten. */
const MAX_REMEMBERED = 10_000;

interface Count {
  value: number;
  readMs: number;
}

type Kind = "session" | "runner";

export class Quotas {
  readonly #store: SessionStore;
  readonly #bounds: Bounds;
  readonly #commands = new Map<string, Budget>();
  /** By kind and user. Too high rather than too low: every registration counts as a new one. */
  readonly #counts = new Map<string, Promise<Count>>();

  constructor(store: SessionStore, bounds: Bounds) {
    this.#store = store;
    this.#bounds = bounds;
  }

  /** Counts a command of a user. Throws `rate_limited` with retryAfterMs. */
  takeCommand(userId: string): void {
    const nowMs = performance.now();
    let budget = this.#commands.get(userId);
    if (budget === undefined) {
      if (this.#commands.size >= MAX_REMEMBERED) {
        for (const [id, other] of this.#commands) if (other.isFull(nowMs)) this.#commands.delete(id);
      }
      budget = new Budget(this.#bounds.userBurstCommands, this.#bounds.userCommandsPerS, nowMs);
      this.#commands.set(userId, budget);
    }
    const retryAfterMs = budget.take(1, nowMs);
    if (retryAfterMs === 0) return;
    throw new GatewayError(
      "rate_limited",
      `more than ${this.#bounds.userCommandsPerS} commands a second; wait and send it again`,
      undefined,
      retryAfterMs,
    );
  }

  /** Makes sure that a user may have the session or runner `id`, new or known. Throws `rate_limited` with retryAfterMs. */
  async checkRoom(kind: Kind, userId: string, id: string): Promise<void> {
    const max = kind === "session" ? this.#bounds.userSessions : this.#bounds.userRunners;
    const key = `${kind} ${userId}`;
    let count = await this.#count(key, kind, userId, BELIEVED_MS);
    if (count.value >= max) count = await this.#count(key, kind, userId, RECOUNT_MS);
    if (count.value >= max && !await this.#isKnown(kind, userId, id)) {
      throw new GatewayError(
        "rate_limited",
        `this account has ${count.value} ${kind}s, and may have ${max}; delete some`,
        `${kind}Id`,
        this.#bounds.tooManyRetryMs,
      );
    }
    count.value++;
  }

  async #count(key: string, kind: Kind, userId: string, maxAgeMs: number): Promise<Count> {
    const known = this.#counts.get(key);
    if (known !== undefined) {
      const count = await known;
      if (performance.now() - count.readMs <= maxAgeMs) return count;
      // Somebody else may have begun to read meanwhile.
      if (this.#counts.get(key) !== known) return await this.#counts.get(key) ?? count;
    }
    if (this.#counts.size >= MAX_REMEMBERED) this.#counts.clear();
    const reading = this.#read(kind, userId);
    this.#counts.set(key, reading);
    reading.catch(() => this.#counts.delete(key));
    return await reading;
  }

  async #read(kind: Kind, userId: string): Promise<Count> {
    const readMs = performance.now();
    const { sessions, runners } = this.#store;
    const list = await (kind === "session" ? sessions.list(userId) : runners.list(userId));
    return { value: list.length, readMs };
  }

  async #isKnown(kind: Kind, userId: string, id: string): Promise<boolean> {
    const { sessions, runners } = this.#store;
    return await (kind === "session" ? sessions.info(userId, id) : runners.info(userId, id)) !== null;
  }
}
