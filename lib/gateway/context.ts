/** What the gateways of one isolate share. */
import type { Counters } from "@/lib/counters.ts";
import type { HubConfig } from "@/lib/hub.ts";
import type { HubLinkTable } from "@/lib/link/hub_links.ts";
import type { Tunnels } from "@/lib/tunnel/tunnels.ts";
import { errorText, type Log } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import type { ErrorCode } from "@/protocol/mod.ts";
import type { Principal } from "@/lib/principal.ts";
import type { Connection } from "./connection.ts";
import type { Hints } from "./hints.ts";
import type { LiveRunner } from "./live_runner.ts";
import type { LiveSession } from "./live_session.ts";
import type { Bounds } from "@/lib/rate_limit.ts";
import type { Presence } from "./presence.ts";
import type { Quotas } from "./quotas.ts";
import type { Room } from "./room.ts";
import type { Ticker } from "./ticker.ts";
import type { MeshCalls } from "./topics.ts";

export interface GatewayContext {
  readonly mesh: Mesh;
  readonly links: HubLinkTable;
  readonly tunnels: Tunnels;
  readonly store: SessionStore;
  readonly config: HubConfig;
  readonly counters: Counters;
  readonly log: Log;
  readonly ticker: Ticker;
  readonly hints: Hints;
  readonly presence: Presence;
  readonly bounds: Bounds;
  readonly quotas: Quotas;
  /** What sockets that closed still do: commit and give leases back. Shutdown waits for it. */
  readonly leaving: Set<Promise<void>>;
  /** Sessions whose host is connected to this isolate, by id. */
  readonly liveSessions: Map<string, LiveSession>;
  /** Runners that are connected to this isolate, by id. */
  readonly liveRunners: Map<string, LiveRunner>;
  /** Sessions with viewers on this isolate, by id. */
  readonly rooms: Map<string, Room>;
  /** JSON of pages that several viewers get, by the page itself, for as long as somebody has it. */
  readonly pageJson: WeakMap<object, string>;
}

/** What all sockets have in common, whatever is spoken on them. */
export type LiveSocket = Pick<
  Connection,
  "id" | "isClosed" | "principal" | "send" | "sendError" | "close" | "goAway" | "beat"
>;

/** Serves one open socket of a namespace. `url`: that it was opened with. */
export type SocketAcceptor = (ctx: GatewayContext, socket: WebSocket, principal: Principal, url: URL) => LiveSocket;

/** Thrown by what gateways and REST routes share; both turn it into their own typed error. */
export class GatewayError extends Error {
  override name = "GatewayError";
  constructor(readonly code: ErrorCode, message: string, readonly field?: string, readonly retryAfterMs?: number) {
    super(message);
  }
}

/** Lets shutdown wait for work that nobody else waits for; what it rejects with is logged. */
export function track(ctx: GatewayContext, work: Promise<void>): void {
  const tracked: Promise<void> = work
    .catch((error) => ctx.log.warn("release_failed", { error: errorText(error) }))
    .finally(() => ctx.leaving.delete(tracked));
  ctx.leaving.add(tracked);
}

/** A typed `mesh.call`. */
export async function callIsolate<M extends keyof MeshCalls>(
  mesh: Mesh,
  isolateId: string,
  method: M,
  params: MeshCalls[M]["params"],
  options?: { timeoutMs?: number },
): Promise<MeshCalls[M]["answer"]> {
  return await mesh.call(isolateId, method, params, options) as MeshCalls[M]["answer"];
}

/** A typed `mesh.serve`. */
export function serveCall<M extends keyof MeshCalls>(
  mesh: Mesh,
  method: M,
  handler: (params: MeshCalls[M]["params"]) => Promise<MeshCalls[M]["answer"]> | MeshCalls[M]["answer"],
): void {
  mesh.serve(method, async (params) => await handler(params as MeshCalls[M]["params"]));
}
