/** The WebSocket namespaces of one isolate: upgrade, calls from other isolates, heartbeat, revocation, shutdown. */
import { closeCodes } from "@/protocol/mod.ts";
import type { Counters } from "@/lib/counters.ts";
import type { HubConfig } from "@/lib/hub.ts";
import { errorText, type Log } from "@/lib/log.ts";
import type { HubLinkTable } from "@/lib/link/hub_links.ts";
import type { Tunnels } from "@/lib/tunnel/tunnels.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { Principal } from "@/lib/principal.ts";
import { boundsOf } from "@/lib/rate_limit.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import { deliverHere } from "./commands.ts";
import type { Namespace } from "./connection.ts";
import { type GatewayContext, type LiveSocket, serveCall, type SocketAcceptor, track } from "./context.ts";
import { Hints } from "./hints.ts";
import { acceptHub } from "./hub.ts";
import { acceptLink } from "./link.ts";
import { Presence } from "./presence.ts";
import { Quotas } from "./quotas.ts";
import { unavailable } from "./questions.ts";
import { Redelivery } from "./redelivery.ts";
import { acceptRelay } from "./relay.ts";
import { acceptRunner } from "./runner.ts";
import { acceptRunners } from "./runners.ts";
import { acceptTerminal } from "./terminal.ts";
import { Ticker } from "./ticker.ts";
import { isIsolateGone, type UserTopicMessage } from "./topics.ts";
import { checkUpgrade, versionRefusal } from "./upgrade.ts";
import { acceptViewer } from "./viewer.ts";

/** How often sockets are looked at for silence. */
const BEAT_MS = 1_000;

/** While draining, sockets are closed about this far apart, so that a few are closed at once and many do not come back at once. */
const DRAIN_MS_PER_SOCKET = 5;
/** Part of the time for draining over which closing is spread; the rest is for the last commits. */
const DRAIN_SPREAD = 0.8;

const acceptors: Readonly<Record<Namespace, SocketAcceptor>> = {
  relay: acceptRelay,
  runner: acceptRunner,
  viewer: acceptViewer,
  hub: acceptHub,
  runners: acceptRunners,
  link: acceptLink,
  terminal: acceptTerminal,
};

/** A socket that is open, and what it was opened with. */
interface Upgraded {
  namespace: Namespace;
  socket: WebSocket;
  principal: Principal;
  url: URL;
  requestId: string | undefined;
}

export interface GatewaysOptions {
  mesh: Mesh;
  links: HubLinkTable;
  tunnels: Tunnels;
  store: SessionStore;
  config: HubConfig;
  counters: Counters;
  log: Log;
}

export class Gateways {
  readonly context: GatewayContext;
  readonly #users = new Map<string, UserSockets>();
  readonly #heart: ReturnType<typeof setInterval>;
  readonly #isolates: { [Symbol.dispose](): void };
  readonly #redelivery: Redelivery;
  #isClosing = false;
  #isDraining = false;

  constructor(options: GatewaysOptions) {
    const { mesh, store, log } = options;
    const hints = new Hints(mesh);
    const bounds = boundsOf(options.config.bounds);
    this.context = {
      ...options,
      ticker: new Ticker(),
      hints,
      presence: new Presence({
        isolateId: mesh.isolateId,
        sessions: store.sessions,
        log,
        onChange: (userId, sessionId) => hints.sessionStatus(userId, sessionId),
      }),
      bounds,
      quotas: new Quotas(store, bounds),
      leaving: new Set(),
      liveSessions: new Map(),
      liveRunners: new Map(),
      rooms: new Map(),
      pageJson: new WeakMap(),
    };
    this.#serveCalls();
    this.#heart = setInterval(() => this.#beat(), BEAT_MS);
    this.#redelivery = new Redelivery(this.context);
    this.#isolates = mesh.subscribe("hub", (payload) => {
      if (!isIsolateGone(payload)) return;
      // It may have held the host of any session that is looked at here, and commands for any that is connected here.
      for (const room of this.context.rooms.values()) room.refreshStatus();
      this.#redelivery.soon();
    });
  }

  /**
   * Answers a request for a namespace: 401, 403 or 400 with a typed JSON error, or the upgrade. `asking`: whom the
   * request's credential speaks for. `requestId`: what the log calls the request.
   */
  upgrade(namespace: Namespace, req: Request, asking: Principal | null, requestId?: string): Response {
    const { config, counters } = this.context;
    const verdict = checkUpgrade(req, namespace, asking, config);
    if (!verdict.ok) return this.#refuse(verdict.status, verdict.code, verdict.message);
    const { principal } = verdict;
    if (this.isDraining) return this.#refuse(503, "unavailable", "the hub is shutting down; connect again", 1);
    const { userSockets } = this.context.bounds;
    if ((this.#users.get(principal.userId)?.connections.size ?? 0) >= userSockets) {
      return this.#refuse(429, "rate_limited", `this account has ${userSockets} connections; close some`, 10);
    }
    const url = new URL(req.url);
    const refusal = versionRefusal(url.searchParams.get("protocolVersion"));
    // Heartbeats are messages of the protocol, so the runtime's own are not needed.
    let upgraded: Deno.WebSocketUpgrade;
    try {
      upgraded = Deno.upgradeWebSocket(req, { idleTimeout: 0 });
    } catch (error) {
      counters.add("upgrades_refused", "not_websocket");
      return Response.json({ error: { code: "not_websocket", message: errorText(error) } }, { status: 400 });
    }
    const { socket, response } = upgraded;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (refusal !== null) {
        counters.add("upgrades_refused", "protocol_version");
        socket.send(JSON.stringify({ type: "error", code: "protocol_version", message: refusal.message }));
        socket.close(refusal.closeCode, "protocol version");
        return;
      }
      this.#accept({ namespace, socket, principal, url, requestId });
    };
    return response;
  }

  #refuse(status: number, code: string, message: string, retryAfterS?: number): Response {
    this.context.counters.add("upgrades_refused", code);
    const headers: HeadersInit = retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) };
    return Response.json({ error: { code, message } }, { status, headers });
  }

  /** Whether new sockets are refused because the hub is about to stop. */
  get isDraining(): boolean {
    return this.#isDraining || this.#isClosing;
  }

  /** From now on new sockets are refused (503); those that are open stay. */
  beginDrain(): void {
    this.#isDraining = true;
  }

  /**
   * Moves the clients over: tells each when its socket will be closed (going_away), then closes them one by one (4012), each
   * after what came over it is committed and acknowledged. Resolves when all are gone, or after `maxMs`.
   */
  async drain(maxMs: number): Promise<void> {
    this.beginDrain();
    const open = [...this.#users.values()].flatMap((user) => [...user.connections]).filter(({ isClosed }) => !isClosed);
    const spreadMs = Math.min(maxMs * DRAIN_SPREAD, open.length * DRAIN_MS_PER_SOCKET);
    const timers = new Set<ReturnType<typeof setTimeout>>();
    const gone = open.map((connection) => {
      const inMs = Math.round(Math.random() * spreadMs);
      connection.send({ type: "going_away", inMs });
      return new Promise<void>((resolve) => {
        timers.add(setTimeout(() => connection.goAway().then(resolve), inMs));
      });
    });
    const late = new Promise<"late">((resolve) => timers.add(setTimeout(() => resolve("late"), maxMs)));
    const outcome = await Promise.race([Promise.all(gone), late]);
    for (const timer of timers) clearTimeout(timer);
    if (outcome === "late") {
      this.context.log.warn("drain_late", { open: open.filter(({ isClosed }) => !isClosed).length, ms: maxMs });
    }
  }

  /** Closes every socket (4012), after what hosts sent has been committed. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#heart);
    this.#isolates[Symbol.dispose]();
    await this.#redelivery[Symbol.asyncDispose]();
    const { liveSessions, liveRunners, hints, presence } = this.context;
    for (const live of [...liveSessions.values(), ...liveRunners.values()]) track(this.context, live.detach());
    for (const user of [...this.#users.values()]) {
      for (const connection of [...user.connections]) {
        connection.close(closeCodes.goingAway, "the hub is shutting down");
      }
    }
    for (const user of this.#users.values()) user[Symbol.dispose]();
    this.#users.clear();
    while (this.context.leaving.size > 0) await Promise.all(this.context.leaving);
    await presence[Symbol.asyncDispose]();
    hints[Symbol.dispose]();
  }

  #accept({ namespace, socket, principal, url, requestId }: Upgraded): void {
    const connection = acceptors[namespace](this.context, socket, principal, url);
    const { userId } = principal;
    this.context.log.info("socket_opened", { namespace, socketId: connection.id, userId, requestId });
    let user = this.#users.get(principal.userId);
    if (user === undefined) {
      user = new UserSockets(this.context.mesh, principal.userId);
      this.#users.set(principal.userId, user);
    }
    user.connections.add(connection);
    // It was upgraded before the hub began to stop, and opens only now.
    if (this.isDraining) connection.close(closeCodes.goingAway, "the hub is shutting down");
  }

  #beat(): void {
    const nowMs = performance.now();
    for (const [userId, user] of this.#users) {
      for (const connection of user.connections) {
        connection.beat(nowMs);
        if (connection.isClosed) user.connections.delete(connection);
      }
      if (user.connections.size > 0) continue;
      user[Symbol.dispose]();
      this.#users.delete(userId);
    }
  }

  #serveCalls(): void {
    const { context } = this;
    const { mesh, liveSessions, liveRunners } = context;
    serveCall(mesh, "session_live", ({ sessionId }) => liveSessions.get(sessionId)?.liveState() ?? null);
    serveCall(mesh, "deliver", ({ target, command }) => deliverHere(context, target, command));
    serveCall(mesh, "session_replaced", ({ sessionId, producerEpoch }) => {
      const live = liveSessions.get(sessionId);
      if (live !== undefined && live.lease.producerEpoch < producerEpoch) live.supersede();
      return null;
    });
    serveCall(mesh, "runner_replaced", ({ runnerId, producerEpoch }) => {
      const live = liveRunners.get(runnerId);
      if (live !== undefined && live.lease.producerEpoch < producerEpoch) live.supersede();
      return null;
    });
    serveCall(mesh, "session_deleted", ({ sessionId }) => {
      liveSessions.get(sessionId)?.expire();
      return null;
    });
    serveCall(mesh, "runner_deleted", ({ runnerId }) => {
      liveRunners.get(runnerId)?.expire();
      return null;
    });
    serveCall(mesh, "runner_session_deleted", ({ runnerId, sessionId }) => {
      liveRunners.get(runnerId)?.sessionDeleted(sessionId);
      return null;
    });
    serveCall(mesh, "session_history", async ({ sessionId, before, limit }) => {
      return await liveSessions.get(sessionId)?.loadHistory(before, limit) ?? unavailable("not connected");
    });
    serveCall(mesh, "runner_request", async ({ runnerId, message }) => {
      const live = liveRunners.get(runnerId);
      if (live === undefined) return { ok: false, code: "unavailable", message: "the runner is not connected" };
      return await live.ask(message);
    });
  }
}

/** A user's sockets on this isolate; they are closed when their credential is revoked anywhere. */
class UserSockets {
  readonly connections = new Set<LiveSocket>();
  readonly #subscription: { [Symbol.dispose](): void };

  constructor(mesh: Mesh, userId: string) {
    this.#subscription = mesh.subscribe(`user:${userId}`, (payload) => {
      const message = payload as UserTopicMessage;
      if (message.type !== "credential_revoked") return;
      for (const connection of this.connections) {
        const { kind, id } = connection.principal.credential;
        if (kind !== message.kind || id !== message.id) continue;
        connection.sendError({ code: "unauthorized", message: "this credential was revoked" });
        connection.close(closeCodes.unauthorized, "credential revoked");
      }
    });
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
