/** Rate limits that hold across isolates and restarts: counters in KV that expire with their window. */
import { AuthError } from "./errors.ts";

export interface RateRule {
  /** Names what is limited; part of the key. */
  name: string;
  /** Attempts allowed within the window. */
  max: number;
  windowMs: number;
}

interface Window {
  count: number;
  resetAt: number;
}

/** Attempts at one counter before contention itself counts as too many. */
const ATTEMPTS_MAX = 100;

export class RateLimiter {
  readonly #kv: Deno.Kv;

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  /** Counts one attempt of `subject`. Throws `rate_limited` (429) when the window is used up. */
  async take(rule: RateRule, subject: string): Promise<void> {
    const key = ["auth", "rate", rule.name, subject];
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const now = Date.now();
      const entry = await this.#kv.get<Window>(key);
      const current = entry.value !== null && entry.value.resetAt > now
        ? entry.value
        : { count: 0, resetAt: now + rule.windowMs };
      if (current.count >= rule.max) throw tooMany(current.resetAt - now);
      const next: Window = { ...current, count: current.count + 1 };
      const { ok } = await this.#kv.atomic().check(entry).set(key, next, { expireIn: next.resetAt - now + 1 }).commit();
      if (ok) return;
    }
    throw tooMany(1_000);
  }

  /** Gives back one attempt: it turned out to be legitimate. */
  async giveBack(rule: RateRule, subject: string): Promise<void> {
    const key = ["auth", "rate", rule.name, subject];
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const now = Date.now();
      const entry = await this.#kv.get<Window>(key);
      if (entry.value === null || entry.value.resetAt <= now || entry.value.count === 0) return;
      const next: Window = { ...entry.value, count: entry.value.count - 1 };
      const { ok } = await this.#kv.atomic().check(entry).set(key, next, { expireIn: next.resetAt - now + 1 }).commit();
      if (ok) return;
    }
  }
}

/** What a limit counts an address by: IPv6 by its /64 (one customer), IPv4 as it is. */
export function addressSubject(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const rest = tail === "" ? [] : tail.split(":");
    while (groups.length + rest.length < 8) groups.push("0");
    groups.push(...rest);
  }
  return `${groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
}

function tooMany(retryAfterMs: number): AuthError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new AuthError(429, "rate_limited", `Too many attempts; try again in ${seconds} s`, { retryAfterMs });
}
