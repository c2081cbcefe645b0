/** Remembers for seconds whom a credential speaks for, so that a busy client costs one small KV read a request. */
import type { Principal } from "@/lib/principal.ts";

/** Bounds how long a changed user name goes unnoticed. A revocation is noticed at once, see `resolve`. */
const LIFE_MS = 5_000;
const ENTRIES_MAX = 2_000;

interface Entry {
  principal: Principal;
  until: number;
}

export class CredentialCache {
  readonly #entries = new Map<string, Entry>();
  readonly #isStored: (credential: Principal["credential"]) => Promise<boolean>;

  /** `isStored` tells whether the row of a credential is still there. */
  constructor(isStored: (credential: Principal["credential"]) => Promise<boolean>) {
    this.#isStored = isStored;
  }

  /**
   * Whom a credential speaks for: as remembered, if its row is still there (so that what another isolate revoked is void
   * here at once, without being told), else as `lookUp` finds, which is remembered at most until `expiresAt`.
   */
  async resolve(
    secret: string,
    lookUp: () => Promise<{ principal: Principal; expiresAt: number | null } | null>,
  ): Promise<Principal | null> {
    const entry = this.#entries.get(secret);
    if (entry !== undefined && entry.until > Date.now()) {
      if (await this.#isStored(entry.principal.credential)) return entry.principal;
    }
    this.#entries.delete(secret);
    const found = await lookUp();
    if (found === null) return null;
    if (this.#entries.size >= ENTRIES_MAX) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    const until = Math.min(Date.now() + LIFE_MS, found.expiresAt ?? Infinity);
    this.#entries.set(secret, { principal: found.principal, until });
    return found.principal;
  }

  /** Forgets a credential. */
  forget(credential: Principal["credential"]): void {
    for (const [secret, { principal }] of this.#entries) {
      if (principal.credential.kind === credential.kind && principal.credential.id === credential.id) {
        this.#entries.delete(secret);
      }
    }
  }
}
