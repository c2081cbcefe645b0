/** A tunnel that is in use on this isolate: what is known of it, who is admitted, what is under way, and its bounds. */
import type { UserTopicMessage } from "@/lib/gateway/topics.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { Principal } from "@/lib/principal.ts";
import { Budget } from "@/lib/rate_limit.ts";
import { type AccessEntry, tunnelLimits } from "@/protocol/tunnel.ts";
import type { GrantRow, TunnelRow } from "./rows.ts";
import type { TunnelStore } from "./store.ts";

/** On `tunnel:<id>`: it was closed or changed, or one of its share links ended. */
export interface TunnelTopicMessage {
  type: "tunnel_changed";
}

/** Admissions that are remembered; beyond it they are read from KV again. */
const GRANTS_REMEMBERED = 1_000;
/** Attempts at secrets and passwords of one tunnel on one isolate: at once, and won back each second. */
const ATTEMPTS = { burst: 20, perSecond: 0.2 } as const;

/** One request or socket under way. */
export interface Passing {
  readonly grant: GrantRow;
  /** Counts bytes of bodies. Resolves when more may pass; null: at once. */
  pace(bytes: number): Promise<void> | null;
  /** Resolves (with why) when it must be cut. */
  readonly cut: AbortSignal;
  /** It is over: its line goes into the access log. */
  done(status: number): void;
}

export interface LiveTunnelOptions {
  mesh: Mesh;
  store: TunnelStore;
  /** Whether a credential still counts. */
  isValid(credential: Principal["credential"]): Promise<boolean>;
}

export class LiveTunnel {
  readonly #options: LiveTunnelOptions;
  readonly #tunnelId: string;
  readonly #subscriptions: { ready: Promise<void>; [Symbol.dispose](): void }[] = [];
  readonly #grants = new Map<string, GrantRow>();
  readonly #passing = new Map<Passing, AbortController>();
  readonly #attempts = new Budget(ATTEMPTS.burst, ATTEMPTS.perSecond, performance.now());
  #budget: Budget | null = null;
  #row: TunnelRow;
  #log: AccessEntry[] = [];
  #isLogChanged = false;
  #generation = 0;
  #usedMs = performance.now();
  #isOver = false;

  private constructor(row: TunnelRow, options: LiveTunnelOptions) {
    this.#options = options;
    this.#row = row;
    this.#tunnelId = row.tunnelId;
    this.#applyBounds();
  }

  /** Null: there is no such tunnel. */
  static async open(tunnelId: string, options: LiveTunnelOptions): Promise<LiveTunnel | null> {
    const row = await options.store.get(tunnelId);
    if (row === null) return null;
    const live = new LiveTunnel(row, options);
    await live.#follow();
    return live.#isOver ? null : live;
  }

  get row(): TunnelRow {
    return this.#row;
  }

  /** Whether it was closed or has expired: nothing may pass any more. */
  get isOver(): boolean {
    if (!this.#isOver && this.#row.expiresAt !== null && this.#row.expiresAt <= Date.now()) this.#end();
    return this.#isOver;
  }

  async #follow(): Promise<void> {
    const { mesh } = this.#options;
    const changed = mesh.subscribe(`tunnel:${this.#tunnelId}`, () => void this.#reload());
    const user = mesh.subscribe(`user:${this.#row.userId}`, (payload) => {
      const message = payload as UserTopicMessage;
      if (message.type === "mesh_gap") return void this.#reload();
      if (message.type !== "credential_revoked") return;
      this.#forget((grant) => grant.credential?.kind === message.kind && grant.credential.id === message.id);
    });
    this.#subscriptions.push(changed, user);
    await Promise.all(this.#subscriptions.map(({ ready }) => ready));
    // What changed before anybody was told.
    await this.#reload();
  }

  async #reload(): Promise<void> {
    const generation = ++this.#generation;
    const { store } = this.#options;
    const row = await store.get(this.#tunnelId).catch(() => null);
    if (generation !== this.#generation || this.#isOver) return;
    if (row === null) return this.#end();
    this.#row = row;
    this.#applyBounds();
    const shareIds = new Set((await store.shares(this.#tunnelId)).map(({ shareId }) => shareId));
    this.#forget((grant) => grant.shareId !== null && !shareIds.has(grant.shareId));
    const credentials = new Map<string, Principal["credential"]>();
    for (const { credential } of [...this.#grants.values(), ...[...this.#passing.keys()].map(({ grant }) => grant)]) {
      if (credential !== null) credentials.set(`${credential.kind} ${credential.id}`, credential);
    }
    for (const credential of credentials.values()) {
      if (await this.#options.isValid(credential)) continue;
      this.#forget((grant) => grant.credential?.kind === credential.kind && grant.credential.id === credential.id);
    }
  }

  #applyBounds(): void {
    const { bytesPerS } = this.#row.bounds;
    this.#budget = bytesPerS === null ? null : new Budget(bytesPerS, bytesPerS, performance.now());
  }

  /** The admission that a cookie stands for; null when it stands for none (any more). */
  async grantOf(secret: string): Promise<GrantRow | null> {
    const known = this.#grants.get(secret);
    if (known !== undefined) {
      if (known.expiresAt > Date.now()) return known;
      this.#grants.delete(secret);
      return null;
    }
    if (!/^[0-9A-Za-z]{43}$/.test(secret)) return null;
    const { store, isValid } = this.#options;
    const generation = this.#generation;
    const grant = await store.grantOf(this.#tunnelId, secret);
    if (grant === null) return null;
    if (grant.credential !== null && !await isValid(grant.credential)) return null;
    if (grant.shareId !== null && await store.share(this.#tunnelId, grant.shareId) === null) return null;
    if (generation === this.#generation && !this.#isOver) {
      if (this.#grants.size >= GRANTS_REMEMBERED) this.#grants.clear();
      this.#grants.set(secret, grant);
    }
    return grant;
  }

  /** Whether another secret or password may be tried now. */
  mayAttempt(): boolean {
    return this.#attempts.take(1, performance.now()) === 0;
  }

  /** Lets one request or socket pass. Null: as many as may are under way. */
  admit(grant: GrantRow, method: string, target: string): Passing | null {
    this.#usedMs = performance.now();
    if (this.#passing.size >= this.#row.bounds.connections) return null;
    const aborted = new AbortController();
    const at = Date.now();
    const startMs = performance.now();
    let bytes = 0;
    const passing: Passing = {
      grant,
      cut: aborted.signal,
      pace: (count) => {
        bytes += count;
        const waitMs = this.#budget?.take(count, performance.now()) ?? 0;
        return waitMs === 0 ? null : this.#untilCredit(count, waitMs, aborted.signal);
      },
      done: (status) => {
        if (!this.#passing.delete(passing)) return;
        this.#usedMs = performance.now();
        this.#record({
          at,
          method,
          path: target.slice(0, tunnelLimits.logPathChars),
          status,
          bytes,
          ms: Math.round(performance.now() - startMs),
          who: grant.who,
        });
      },
    };
    this.#passing.set(passing, aborted);
    return passing;
  }

  /** Waits for credit, then takes it. */
  async #untilCredit(count: number, firstMs: number, cut: AbortSignal): Promise<void> {
    for (let waitMs = firstMs; waitMs > 0 && !cut.aborted;) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        cut.addEventListener("abort", () => {
          clearTimeout(timer);
          resolve();
        }, { once: true });
      });
      waitMs = this.#budget?.take(count, performance.now()) ?? 0;
    }
  }

  #record(entry: AccessEntry): void {
    if (this.#log.length >= tunnelLimits.logEntries) this.#log.shift();
    this.#log.push(entry);
    this.#isLogChanged = true;
  }

  /** The newest requests, when there are some that were not taken yet. */
  takeLog(): readonly AccessEntry[] | null {
    if (!this.#isLogChanged || this.#isOver) return null;
    this.#isLogChanged = false;
    return [...this.#log];
  }

  /** Forgets admissions and cuts what is under way by them. */
  #forget(isMeant: (grant: GrantRow) => boolean): void {
    for (const [secret, grant] of this.#grants) if (isMeant(grant)) this.#grants.delete(secret);
    for (const [{ grant }, aborted] of [...this.#passing]) if (isMeant(grant)) aborted.abort();
  }

  /** Cuts what has expired; called now and then. */
  beat(): void {
    if (this.isOver) return;
    const now = Date.now();
    this.#forget((grant) => grant.expiresAt <= now);
  }

  /** Whether nothing passes and nothing has for this long. */
  isIdle(idleMs: number): boolean {
    return this.#passing.size === 0 && performance.now() - this.#usedMs > idleMs;
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#grants.clear();
    for (const aborted of [...this.#passing.values()]) aborted.abort();
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}
