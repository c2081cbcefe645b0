/** A tunnel that is in use on this isolate: what is known of it, who is admitted, what is under way, and its bounds. */
import type { UserTopicMessage } from "@/lib/gateway/topics.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { Principal } from "@/lib/principal.ts";
import { Budget } from "@/lib/rate_limit.ts";
import type { AccessEntry } from "@/protocol/tunnel.ts";
import { ChurnTable } from "@/protocol/churn_table.ts";
import { AccessLog } from "./access_log.ts";
import { Cut } from "./cut.ts";
import { Pacer } from "./pacer.ts";
import type { GrantRow, TunnelRow } from "./rows.ts";
import type { TunnelStore } from "./store.ts";

/** On `tunnel:<id>`: it was closed or changed, or one of its share links ended. */
export interface TunnelTopicMessage {
  type: "tunnel_changed";
}

/** Admissions that are remembered; beyond it they are read from KV again. */
const GRANTS_REMEMBERED = 1_000;
/** Guesses of one secret on one isolate: at once, and won back each second. */
const ATTEMPTS = { burst: 20, perSecond: 0.2 } as const;

/** One request or socket under way. */
export interface Passing {
  readonly grant: GrantRow;
  /** Counts bytes of bodies. Resolves when more may pass; null: at once. */
  pace(bytes: number): Promise<void> | null;
  /** Made when it must end. */
  readonly cut: Cut;
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
  readonly #passing = new ChurnTable<Passing>();
  /** Guesses that may be made of each link's password, by its id, and of tickets and links (null). */
  readonly #attempts = new Map<string | null, Budget>();
  readonly #log: AccessLog;
  #pacer: Pacer | null = null;
  #row: TunnelRow;
  #generation = 0;
  /** Counts what may have ended admissions. */
  #revocations = 0;
  #usedMs = performance.now();
  #isOver = false;

  private constructor(row: TunnelRow, log: AccessLog, options: LiveTunnelOptions) {
    this.#options = options;
    this.#log = log;
    this.#row = row;
    this.#tunnelId = row.tunnelId;
    this.#applyBounds();
  }

  /** Null: there is no such tunnel. */
  static async open(tunnelId: string, options: LiveTunnelOptions): Promise<LiveTunnel | null> {
    const { store, mesh } = options;
    const row = await store.get(tunnelId);
    if (row === null) return null;
    // What this isolate logged before it put the tunnel aside.
    const live = new LiveTunnel(row, new AccessLog(await store.logOf(tunnelId, mesh.isolateId)), options);
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
      this.#revocations++;
      this.#forget((grant) => grant.credential?.kind === message.kind && grant.credential.id === message.id);
    });
    this.#subscriptions.push(changed, user);
    await Promise.all(this.#subscriptions.map(({ ready }) => ready));
    // What changed before anybody was told.
    await this.#reload();
  }

  /** Reads again what may have changed. What cannot be read may not pass: it is opened anew when it is asked for again. */
  async #reload(): Promise<void> {
    const generation = ++this.#generation;
    this.#revocations++;
    try {
      await this.#read(() => generation !== this.#generation || this.#isOver);
    } catch {
      if (generation === this.#generation) this.#end();
    }
  }

  async #read(isPast: () => boolean): Promise<void> {
    const { store, isValid } = this.#options;
    const row = await store.get(this.#tunnelId);
    if (isPast()) return;
    if (row === null) return this.#end();
    this.#row = row;
    this.#applyBounds();
    const shareIds = new Set((await store.shares(this.#tunnelId)).map(({ shareId }) => shareId));
    this.#forget((grant) => grant.shareId !== null && !shareIds.has(grant.shareId));
    for (const shareId of this.#attempts.keys()) {
      if (shareId !== null && !shareIds.has(shareId)) this.#attempts.delete(shareId);
    }
    const credentials = new Map<string, Principal["credential"]>();
    for (const { credential } of [...this.#grants.values(), ...this.#passing.values().map(({ grant }) => grant)]) {
      if (credential !== null) credentials.set(`${credential.kind} ${credential.id}`, credential);
    }
    for (const credential of credentials.values()) {
      if (await isValid(credential)) continue;
      this.#forget((grant) => grant.credential?.kind === credential.kind && grant.credential.id === credential.id);
    }
  }

  #applyBounds(): void {
    const { bytesPerS } = this.#row.bounds;
    if (this.#pacer?.bytesPerS === bytesPerS) return;
    this.#pacer = bytesPerS === null ? null : new Pacer(bytesPerS, performance.now());
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
    for (;;) {
      const revocations = this.#revocations;
      const grant = await this.#readGrant(secret);
      if (grant === null || this.#isOver) return null;
      // What was revoked while it was read may be in it: it must be read again, for nobody would cut it later.
      if (revocations !== this.#revocations) continue;
      if (this.#grants.size >= GRANTS_REMEMBERED) this.#grants.clear();
      this.#grants.set(secret, grant);
      return grant;
    }
  }

  async #readGrant(secret: string): Promise<GrantRow | null> {
    const { store, isValid } = this.#options;
    const grant = await store.grantOf(this.#tunnelId, secret);
    if (grant === null) return null;
    if (grant.credential !== null && !await isValid(grant.credential)) return null;
    if (grant.shareId !== null && await store.share(this.#tunnelId, grant.shareId) === null) return null;
    return grant;
  }

  /** Whether another guess may be made now: of a link's password, or (null) of tickets and links. */
  mayAttempt(shareId: string | null): boolean {
    const nowMs = performance.now();
    let budget = this.#attempts.get(shareId);
    if (budget === undefined) {
      this.#attempts.set(shareId, budget = new Budget(ATTEMPTS.burst, ATTEMPTS.perSecond, nowMs));
    }
    return budget.take(1, nowMs) === 0;
  }

  /** Writes down who was not let in. */
  refused(method: string, target: string, who: string, status: number): void {
    const nowMs = this.#usedMs = performance.now();
    this.#log.end(this.#log.begin(method, target, who, nowMs), status, nowMs);
  }

  /** Lets one request or socket pass. `busy`: as many as may are under way. `over`: it was closed meanwhile. */
  admit(grant: GrantRow, method: string, target: string): Passing | "busy" | "over" {
    if (this.isOver) return "over";
    const nowMs = this.#usedMs = performance.now();
    const line = this.#log.begin(method, target, grant.who, nowMs);
    if (this.#passing.size >= this.#row.bounds.connections) {
      this.#log.end(line, 503, nowMs);
      return "busy";
    }
    const cut = new Cut();
    const key = this.#passing.add({
      grant,
      cut,
      pace: (count) => {
        line.bytes += count;
        const waitMs = this.#pacer?.take(count, performance.now()) ?? 0;
        return waitMs === 0 ? null : pause(waitMs, cut);
      },
      done: (status) => {
        if (!this.#passing.delete(key)) return;
        this.#usedMs = performance.now();
        this.#log.end(line, status, this.#usedMs);
      },
    });
    return this.#passing.get(key)!;
  }

  /** The access log of this isolate, when it is another than the last time. */
  takeLog(): readonly AccessEntry[] | null {
    return this.#isOver ? null : this.#log.take(performance.now());
  }

  /** Forgets admissions and cuts what is under way by them. */
  #forget(isMeant: (grant: GrantRow) => boolean): void {
    for (const [secret, grant] of this.#grants) if (isMeant(grant)) this.#grants.delete(secret);
    for (const { grant, cut } of this.#passing.values()) if (isMeant(grant)) cut.make();
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
    for (const { cut } of this.#passing.values()) cut.make();
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}

/** Waits so long, or until it is cut. */
function pause(ms: number, cut: Cut): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      forget();
      resolve();
    }, ms);
    const forget = cut.whenMade(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
