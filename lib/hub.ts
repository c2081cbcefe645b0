/** One isolate's hub: the gateways over one store and one mesh. main.ts composes it. */
import { Counters } from "@/lib/counters.ts";
import { Gateways } from "@/lib/gateway/mod.ts";
import type { SessionTopicMessage, UserTopicMessage } from "@/lib/gateway/topics.ts";
import { HubLinkTable } from "@/lib/link/hub_links.ts";
import type { TunnelPlace } from "@/lib/tunnel/address.ts";
import { Tunnels } from "@/lib/tunnel/tunnels.ts";
import { createLog, type Log } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import { HubMetrics } from "@/lib/metrics.ts";
import type { Authenticator, Principal } from "@/lib/principal.ts";
import type { Bounds } from "@/lib/rate_limit.ts";
import type { SessionStore } from "@/lib/session/types.ts";

/** How long KV may take to answer a health check. */
const HEALTH_TIMEOUT_MS = 2_000;

export interface HubConfig {
  /** Where people open the hub, when that is not what the request's Host says (behind a proxy): "https://perch.example". */
  publicUrl?: string;
  /** Where the other isolates of this hub reach this one directly: "http://10.0.0.5:7700". Without it they use KV alone. */
  isolateUrl?: string;
  /** Further host names that requests may name, without port. IP addresses and localhost always may. */
  hostNames?: readonly string[];
  /** A proxy stands before the hub and nobody else reaches it: the last hop of X-Forwarded-For is the client's address. */
  isProxyTrusted?: boolean;
  /** Where tunnels have their addresses. Default: below localhost, for browsers on this machine. */
  tunnels?: TunnelPlace;
  /** What /metrics asks for as a Bearer token. Default: any API key. */
  metricsToken?: string;
  /** Bounds in place of those of protocol/limits.ts. */
  bounds?: Partial<Bounds>;
}

export interface HubOptions<Auth extends Authenticator = Authenticator> {
  kv: Deno.Kv;
  mesh: Mesh;
  store: SessionStore;
  auth: Auth;
  config: HubConfig;
  version: string;
  isolateId: string;
  /** Default: info and above, to stderr. */
  log?: Log;
}

export interface Health {
  status: "ok" | "degraded";
  version: string;
  uptimeMs: number;
  isolate: string;
  /** Whether KV answers now. */
  kv: "ok" | "unavailable";
}

export interface Readiness {
  status: "ready" | "draining" | "unavailable";
  isolate: string;
}

/** What routes get as `ctx.state.hub`. */
export interface Hub<Auth extends Authenticator = Authenticator> extends Readonly<HubOptions<Auth>> {
  readonly log: Log;
  readonly counters: Counters;
  readonly gateways: Gateways;
  /** Streams to runners: terminals and tunnels. That a user may use the runner is the asking route's to check. */
  readonly links: HubLinkTable;
  readonly tunnels: Tunnels;
  readonly metrics: HubMetrics;
  health(): Promise<Health>;
  /** Whether new clients should be sent here: KV answers, and the hub is not about to stop. */
  readiness(): Promise<Readiness>;
  /**
   * Tells every isolate that a credential is void: its live sockets are closed (4001). Accounts call it on sign-out and
   * revocation.
   */
  credentialRevoked(userId: string, credential: Principal["credential"]): void;
  /** Not ready from now on: new sockets are refused, those that are open stay. */
  beginDrain(): void;
  /** Tells clients to move over and closes their sockets (4012), spread out, at most for `maxMs`; see Gateways.drain. */
  drain(maxMs: number): Promise<void>;
  /** Tells every isolate that a session is not there any more: lists drop it, its viewers are detached. */
  sessionGone(userId: string, sessionId: string): void;
  /** Closes all sockets (4012) after committing what was received, and disposes every timer. Leaves kv, mesh and store open. */
  close(): Promise<void>;
}

/** Opens the hub of this isolate. `kv`, `mesh`, `store` and `auth` stay their opener's to close, after `close()`. */
export function openHub<Auth extends Authenticator>(options: HubOptions<Auth>): Hub<Auth> {
  const { kv, mesh, version, isolateId } = options;
  const log = options.log ?? createLog("info", { isolate: isolateId });
  const counters = new Counters();
  const links = new HubLinkTable({ kv, mesh, log, isolateUrl: options.config.isolateUrl });
  const place = options.config.tunnels ?? { domain: null, scheme: "http" as const, port: null };
  const tunnels = new Tunnels({ ...options, links, log, place });
  const gateways = new Gateways({ ...options, links, tunnels, log, counters });
  const metrics = new HubMetrics({ mesh, store: options.store, counters, isDraining: () => gateways.isDraining });
  const startedMs = performance.now();
  return {
    ...options,
    log,
    counters,
    gateways,
    links,
    tunnels,
    metrics,
    async readiness() {
      const isReachable = await answers(kv);
      const status = gateways.isDraining ? "draining" : isReachable ? "ready" : "unavailable";
      return { status, isolate: isolateId };
    },
    async health() {
      const isReachable = await answers(kv);
      return {
        status: isReachable ? "ok" : "degraded",
        version,
        uptimeMs: Math.round(performance.now() - startedMs),
        isolate: isolateId,
        kv: isReachable ? "ok" : "unavailable",
      };
    },
    credentialRevoked(userId, { kind, id }) {
      const message: UserTopicMessage = { type: "credential_revoked", kind, id };
      mesh.publish(`user:${userId}`, message);
    },
    beginDrain: () => gateways.beginDrain(),
    drain: (maxMs) => gateways.drain(maxMs),
    sessionGone(userId, sessionId) {
      mesh.publish(`session:${sessionId}`, { type: "deleted" } satisfies SessionTopicMessage);
      gateways.context.hints.sessionStatus(userId, sessionId);
    },
    async close() {
      metrics[Symbol.dispose]();
      await tunnels[Symbol.asyncDispose]();
      await gateways.close();
      links[Symbol.dispose]();
    },
  };
}

async function answers(kv: Deno.Kv): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<false>((resolve) => timer = setTimeout(() => resolve(false), HEALTH_TIMEOUT_MS));
  const read = kv.get(["health"]).then(() => true, () => false);
  try {
    return await Promise.race([read, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
