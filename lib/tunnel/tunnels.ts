/**
 * The tunnels of one isolate: answers every request whose Host is a tunnel's, and those below `/api/tunnel/`, before any route of the
 * hub sees them. Nothing of the hub is reachable on a tunnel's host, and nothing of a tunnel runs in the hub's origin.
 */
import { forwardedFor } from "@/lib/auth/forwarded.ts";
import type { UserTopicMessage } from "@/lib/gateway/topics.ts";
import type { HubConfig } from "@/lib/hub.ts";
import { errorText, type Log } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { Authenticator, Principal } from "@/lib/principal.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import type { HubLinks } from "@/protocol/link/types.ts";
import type { AccessEntry } from "@/protocol/tunnel.ts";
import {
  isSameHost,
  rawAuthority,
  rawTarget,
  TUNNEL_PATH,
  tunnelOfHost,
  tunnelOrigin,
  tunnelPath,
  type TunnelPlace,
} from "./address.ts";
import { enter, ENTER_PATH, grantFrom } from "./entry.ts";
import { forwardHttp, type Forwarding } from "./forward_http.ts";
import { forwardSocket } from "./forward_socket.ts";
import { hubAncestors } from "./framing.ts";
import type { Passage } from "./headers.ts";
import { LiveTunnel, type TunnelTopicMessage } from "./live_tunnel.ts";
import { plainPage, strangerPage } from "./pages.ts";
import { admitByPath, isSafe, noTunnel, pathCookie } from "./path_form.ts";
import type { GrantRow, TunnelRow } from "./rows.ts";
import { TunnelStore } from "./store.ts";

const BEAT_MS = 2_000;
/** How long a tunnel that nobody uses is remembered. */
const IDLE_MS = 60_000;
/** Tunnels that one isolate has in use. */
const LIVE_MAX = 10_000;
/** A path that somebody is led back to after they were let in is no longer than this. */
const NEXT_CHARS = 2_048;

export interface TunnelsOptions {
  kv: Deno.Kv;
  mesh: Mesh;
  store: Pick<SessionStore, "sessions">;
  links: HubLinks;
  auth: Authenticator;
  config: HubConfig;
  place: TunnelPlace;
  log: Log;
}

export class Tunnels {
  readonly store: TunnelStore;
  readonly place: TunnelPlace;
  readonly #options: TunnelsOptions;
  readonly #live = new Map<string, Promise<LiveTunnel | null>>();
  readonly #heart: ReturnType<typeof setInterval>;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: TunnelsOptions) {
    this.#options = options;
    this.store = new TunnelStore(options.kv);
    this.place = options.place;
    this.#heart = setInterval(() => this.#beat(), BEAT_MS);
  }

  /** Answers a request that is for a tunnel; null: it is the hub's. Never rejects. */
  answer(req: Request, peer: Deno.Addr): Promise<Response> | null {
    const host = req.headers.get("host") ?? "";
    const verdict = tunnelOfHost(host, this.place);
    const target = rawTarget(req.url);
    const path = verdict.kind === "hub" && target.startsWith(TUNNEL_PATH) ? tunnelPath(target) : null;
    // A request line may name another host than Host does; then it cannot be told whose the request is.
    const named = tunnelOfHost(rawAuthority(req.url), this.place);
    if (verdict.kind === "hub" && named.kind === "hub" && path === null) return null;
    return this.#answer(req, peer, host, target, verdict, named, path).catch((error) => {
      this.#options.log.error("tunnel_failed", { error: errorText(error) });
      return plainPage(503, "Not now", "the hub cannot pass this on now; try again", 1);
    });
  }

  async #answer(
    req: Request,
    peer: Deno.Addr,
    host: string,
    target: string,
    verdict: ReturnType<typeof tunnelOfHost>,
    named: ReturnType<typeof tunnelOfHost>,
    path: ReturnType<typeof tunnelPath>,
  ): Promise<Response> {
    if (!isSameHost(verdict, named)) {
      return plainPage(400, "Which host?", "the request line and the Host header name different hosts");
    }
    const client = (this.#options.config.isProxyTrusted ? forwardedFor(req) : null) ??
      (peer.transport === "tcp" ? peer.hostname : "127.0.0.1");
    const common = { host, client, scheme: this.#schemeOf(host) };
    const isSocket = req.headers.get("upgrade")?.toLowerCase() === "websocket";
    if (path !== null) return await this.#byPath(req, path, common, isSocket);
    if (verdict.kind !== "tunnel") return noTunnel();
    const live = await this.#liveOf(verdict.tunnelId);
    if (live === null) return noTunnel();
    const base = `${common.scheme}://${host}`;
    if (target === ENTER_PATH || target.startsWith(`${ENTER_PATH}?`)) {
      return await enter(req, live, base, { store: this.store, isValid: (credential) => this.#isValid(credential) });
    }
    if (isForeign(req, base, isSocket)) {
      return plainPage(403, "Not from here", "a tunnel takes orders and WebSockets from its own pages only");
    }
    const grant = await grantFrom(req, live);
    if (grant === null) return strangerPage(this.#ownersWay(host, verdict.tunnelId, target));
    const ancestors = hubAncestors(this.#options.config.publicUrl, host);
    const passage: Passage = { ...common, form: "origin", base, localHost: localHostOf(live.row), ancestors };
    return await this.#forward(req, live, grant, target, passage, isSocket);
  }

  async #byPath(
    req: Request,
    path: NonNullable<ReturnType<typeof tunnelPath>>,
    common: Pick<Passage, "host" | "client" | "scheme">,
    isSocket: boolean,
  ): Promise<Response> {
    const { auth, config, store: { sessions } } = this.#options;
    const liveOf = (tunnelId: string) => this.#liveOf(tunnelId);
    const admitted = await admitByPath(req, path, isSocket, { store: this.store, sessions, auth, config, liveOf });
    if (admitted instanceof Response) return admitted;
    const { live, grant, isOwnPage } = admitted;
    const localHost = localHostOf(live.row);
    const passage: Passage = { ...common, form: "path", base: path.prefix, localHost, ancestors: "'self'" };
    const response = await this.#forward(req, live, grant, path.target, passage, isSocket);
    const cookie = isOwnPage ? await pathCookie(admitted, path, common, this.store) : null;
    if (cookie !== null) response.headers.append("set-cookie", cookie);
    return response;
  }

  async #forward(
    req: Request,
    live: LiveTunnel,
    grant: GrantRow,
    target: string,
    passage: Passage,
    isSocket: boolean,
  ): Promise<Response> {
    const passing = live.admit(grant, req.method, target);
    if (passing === "over") return noTunnel();
    if (passing === "busy") {
      const { connections } = live.row.bounds;
      return plainPage(503, "Busy", `this tunnel carries ${connections} requests at once; its owner may allow more`, 1);
    }
    const forwarding: Forwarding = { req, row: live.row, target, passage, passing, links: this.#options.links };
    return isSocket ? await forwardSocket(forwarding) : await forwardHttp(forwarding);
  }

  /** Where a browser that reached the hub as `hubHost` finds a tunnel. Null: nowhere. */
  addressOf(row: TunnelRow, hubHost: string): { form: "origin" | "path"; url: string } | null {
    const origin = tunnelOrigin(row.tunnelId, hubHost, this.place);
    if (origin !== null) return { form: "origin", url: `${origin}/` };
    if (row.sessionId === null) return null;
    return { form: "path", url: `/api/tunnel/${encodeURIComponent(row.sessionId)}/${row.port}/` };
  }

  /**
   * The URL that lets its holder in once: the ticket is in the fragment, and so is the path to `next`. Null: this tunnel has no
   * origin for that browser.
   */
  async entryUrl(
    row: TunnelRow,
    credential: Principal["credential"],
    hubHost: string,
    next = "/",
  ): Promise<string | null> {
    const origin = tunnelOrigin(row.tunnelId, hubHost, this.place);
    if (origin === null) return null;
    const ticket = await this.store.issueTicket(row.tunnelId, credential);
    return `${origin}${ENTER_PATH}#${new URLSearchParams({ ticket, ...(next === "/" ? {} : { next }) })}`;
  }

  /** The URL of a share link. Null as for entryUrl. */
  shareUrl(row: TunnelRow, secret: string, hubHost: string): string | null {
    const origin = tunnelOrigin(row.tunnelId, hubHost, this.place);
    return origin === null ? null : `${origin}${ENTER_PATH}#share=${secret}`;
  }

  /** Closes those of a user's tunnels that `isMeant` picks, on the hub; runners are not asked. */
  async closeAll(userId: string, isMeant: (row: TunnelRow) => boolean): Promise<void> {
    for (const row of await this.store.list(userId)) {
      if (!isMeant(row)) continue;
      await this.store.delete(userId, row.tunnelId);
      this.changed(row);
    }
  }

  /** Tells every isolate that a tunnel was opened, changed or closed: what may not go on is cut, and lists read it again. */
  changed({ tunnelId, userId }: Pick<TunnelRow, "tunnelId" | "userId">): void {
    const { mesh } = this.#options;
    mesh.publish(`tunnel:${tunnelId}`, { type: "tunnel_changed" } satisfies TunnelTopicMessage);
    mesh.publish(`user:${userId}`, { type: "tunnels_changed" } satisfies UserTopicMessage);
  }

  /** The access log, with what happened on this isolate until now: lines under way, then the newest that are over. */
  async log(tunnelId: string): Promise<AccessEntry[]> {
    const live = await this.#live.get(tunnelId)?.catch(() => null);
    if (live) this.#keepLog(tunnelId, live);
    await this.#writing;
    return await this.store.log(tunnelId, (isolateId) => this.#options.mesh.isLive(isolateId));
  }

  async #liveOf(tunnelId: string): Promise<LiveTunnel | null> {
    const known = await this.#live.get(tunnelId);
    if (known && !known.isOver) return known;
    if (this.#live.size >= LIVE_MAX) throw new Error(`${LIVE_MAX} tunnels are in use on this isolate already`);
    const { mesh } = this.#options;
    const opening = LiveTunnel.open(tunnelId, {
      mesh,
      store: this.store,
      isValid: (credential) => this.#isValid(credential),
    });
    this.#live.set(tunnelId, opening);
    try {
      const live = await opening;
      if (live === null) this.#live.delete(tunnelId);
      return live;
    } catch (error) {
      this.#live.delete(tunnelId);
      throw error;
    }
  }

  #isValid(credential: Principal["credential"]): Promise<boolean> {
    return this.#options.auth.isValid(credential);
  }

  #schemeOf(host: string): "http" | "https" {
    const isLocal = /\.localhost(:\d+)?$/i.test(host);
    return !isLocal || this.place.domain === "localhost" ? this.place.scheme : "http";
  }

  /** Where the owner of a tunnel goes in, and from there on to what they asked for. */
  #ownersWay(host: string, tunnelId: string, target: string): string {
    const { publicUrl } = this.#options.config;
    const hubUrl = publicUrl ?? `http://localhost${/:\d+$/.exec(host)?.[0] ?? ""}`;
    const query = target === "/" || target.length > NEXT_CHARS ? "" : `?${new URLSearchParams({ next: target })}`;
    return `${hubUrl}/tunnel/${tunnelId}${query}`;
  }

  #beat(): void {
    for (const [tunnelId, opening] of this.#live) {
      void opening.then((live) => {
        if (live === null) return;
        live.beat();
        this.#keepLog(tunnelId, live);
        if (!live.isOver && !live.isIdle(IDLE_MS)) return;
        live[Symbol.dispose]();
        if (this.#live.get(tunnelId) === opening) this.#live.delete(tunnelId);
      }, () => {});
    }
  }

  #keepLog(tunnelId: string, live: LiveTunnel): void {
    const entries = live.takeLog();
    if (entries === null) return;
    const { mesh, log } = this.#options;
    this.#writing = this.#writing.then(() => this.store.putLog(tunnelId, mesh.isolateId, entries))
      .catch((error) => log.warn("tunnel_log_failed", { tunnelId, error: errorText(error) }));
  }

  /** Cuts everything and writes the access logs. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heart);
    for (const [tunnelId, opening] of this.#live) {
      const live = await opening.catch(() => null);
      if (live === null) continue;
      this.#keepLog(tunnelId, live);
      live[Symbol.dispose]();
    }
    this.#live.clear();
    await this.#writing;
  }
}

/** "localhost:5173", or the host that the runner's owner allowed. */
function localHostOf({ host, port }: TunnelRow): string {
  return `${host === null ? "localhost" : host.includes(":") ? `[${host}]` : host}:${port}`;
}

/**
 * Whether a page of another origin sends what may change something. Tunnels of one domain are one site to browsers, which send
 * the cookie of one with what the pages of another ask of it: SameSite does not keep them apart. A form may hide its Origin
 * ("null"), but not Sec-Fetch-Site.
 */
function isForeign(req: Request, base: string, isSocket: boolean): boolean {
  if (!isSocket && isSafe(req.method)) return false;
  const origin = req.headers.get("origin");
  const site = req.headers.get("sec-fetch-site");
  const isOther = origin !== null && origin !== base && (origin !== "null" || isSocket);
  return isOther || site === "same-site" || site === "cross-site";
}
