/** A key that its holder keeps alive: whoever reads it knows from `expiresAt` whether the holder still lives. */
export interface LeaseRow {
  /** Lease end in ms since the Unix epoch. Holders' clocks must agree to within a small part of the lease. */
  expiresAt: number;
}

/** How long the row of a holder that is gone, and that nobody looks for, stays. */
const abandonedMs = 24 * 60 * 60 * 1000;

export interface LeaseOptions {
  leaseMs: number;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
}

/** Holds `key`. The owner calls `renew` well within `leaseMs`; there is no timer in here. */
export class KvLease<Row extends LeaseRow> {
  #kv: Deno.Kv;
  #key: Deno.KvKey;
  #row: Omit<Row, "expiresAt">;
  #options: LeaseOptions;
  #versionstamp: string | null = null;

  constructor(kv: Deno.Kv, key: Deno.KvKey, row: Omit<Row, "expiresAt">, options: LeaseOptions) {
    this.#kv = kv;
    this.#key = key;
    this.#row = row;
    this.#options = options;
  }

  /** Takes the key, whatever is there. */
  async acquire(): Promise<void> {
    await this.#write(null);
  }

  /** Holds as long as this lease was not taken or removed. */
  get check(): Deno.AtomicCheck {
    return { key: this.#key, versionstamp: this.#versionstamp };
  }

  /** Takes the key unless somebody holds it. False: somebody does, or was faster. */
  async tryAcquire(): Promise<boolean> {
    const held = await this.#kv.get<LeaseRow>(this.#key);
    if (held.value !== null && held.value.expiresAt > this.#options.now()) return false;
    return await this.#write(held);
  }

  /** Extends the lease. False: someone removed or took it, because it had run out; acquire it again to go on. */
  async renew(): Promise<boolean> {
    return await this.#write({ key: this.#key, versionstamp: this.#versionstamp });
  }

  /** Gives the key up, unless someone else has it now. */
  async release(): Promise<void> {
    await this.#kv.atomic().check({ key: this.#key, versionstamp: this.#versionstamp }).delete(this.#key).commit();
  }

  async #write(check: Deno.AtomicCheck | null): Promise<boolean> {
    const { leaseMs, now } = this.#options;
    const atomic = this.#kv.atomic();
    if (check) atomic.check(check);
    // Readers go by expiresAt; expireIn only removes the row of a whole hub that is gone. The KV server counts it from this
    // machine's clock, which may be an hour behind its own.
    atomic.set(this.#key, { ...this.#row, expiresAt: now() + leaseMs }, { expireIn: abandonedMs + leaseMs });
    const result = await atomic.commit();
    if (result.ok) this.#versionstamp = result.versionstamp;
    return result.ok;
  }
}
