/** Remembers for seconds whom a credential speaks for, so that a busy client does not cost KV reads at every request. */
import type { Principal } from "@/lib/principal.ts";

/** Bounds how long a revocation may go unnoticed on an isolate that was not told of it. */
const LIFE_MS = 5_000;
const ENTRIES_MAX = 2_000;

interface Entry {
  principal: Principal;
  until: number;
}

export class CredentialCache {
  readonly #entries = new Map<string, Entry>();
  #revocations = 0;

  /** Whom the credential speaks for, if that was found out within the last seconds. */
  get(secret: string): Principal | null {
    const entry = this.#entries.get(secret);
    if (entry === undefined) return null;
    if (entry.until > Date.now()) return entry.principal;
    this.#entries.delete(secret);
    return null;
  }

  /**
   * Runs `lookUp` and remembers what it finds, at most until `expiresAt`. A revocation during the lookup keeps its result
   * from being remembered: it may have been read before.
   */
  async resolve(
    secret: string,
    lookUp: () => Promise<{ principal: Principal; expiresAt: number | null } | null>,
  ): Promise<Principal | null> {
    const known = this.get(secret);
    if (known !== null) return known;
    const revocations = this.#revocations;
    const found = await lookUp();
    if (found === null) return null;
    if (revocations === this.#revocations) {
      if (this.#entries.size >= ENTRIES_MAX) {
        const [oldest] = this.#entries.keys();
        if (oldest !== undefined) this.#entries.delete(oldest);
      }
      const until = Math.min(Date.now() + LIFE_MS, found.expiresAt ?? Infinity);
      this.#entries.set(secret, { principal: found.principal, until });
    }
    return found.principal;
  }

  /** Forgets a credential. */
  invalidate(credential: Principal["credential"]): void {
    this.#revocations++;
    for (const [secret, { principal }] of this.#entries) {
      if (principal.credential.kind === credential.kind && principal.credential.id === credential.id) {
        this.#entries.delete(secret);
      }
    }
  }
}
