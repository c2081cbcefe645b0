/**
 * The tunnels of one isolate: answers every request whose Host is a tunnel's, and those below `/api/tunnel/`, before any route of the
 * hub sees them. Nothing of the hub is reachable on a tunnel's host, and nothing of a tunnel runs in the hub's origin.
 */
import * as z from "zod";
import { forwardedFor } from "@/lib/auth/forwarded.ts";
import { checkOrigin } from "@/lib/gateway/upgrade.ts";
import type { HubConfig } from "@/lib/hub.ts";
import { errorText, type Log } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import type { Authenticator, Principal } from "@/lib/principal.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import type { HubLinks } from "@/protocol/link/types.ts";
import { tunnelLimits } from "@/protocol/tunnel.ts";
import { rawAuthority, rawTarget, tunnelOfHost, tunnelOrigin, tunnelPath, type TunnelPlace } from "./address.ts";
import { forwardHttp, type Forwarding } from "./forward_http.ts";
import { forwardSocket } from "./forward_socket.ts";
import { grantCookies, type Passage } from "./headers.ts";
import { LiveTunnel, type TunnelTopicMessage } from "./live_tunnel.ts";
import { entryPage, plainPage, strangerPage } from "./pages.ts";
import type { GrantRow, TunnelRow } from "./rows.ts";
import { isPassword, TunnelStore } from "./store.ts";

/** The one path of a tunnel's origin that is the hub's. */
const ENTER_PATH = "/__perch/enter";
const BEAT_MS = 2_000;
/** How long a tunnel that nobody uses is remembered. */
const IDLE_MS = 60_000;
/** Tunnels that one isolate has in use. */
const LIVE_MAX = 10_000;
const ENTRY_BYTES = 4_096;

/** What the entry page posts: one of both secrets. */
const Entry = z.union([
  z.object({ ticket: z.string().max(64) }),
  z.object({ share: z.string().max(64), password: z.string().max(tunnelLimits.sharePasswordChars).optional() }),
]);

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
    const path = verdict.kind === "hub" && target.startsWith("/api/tunnel/") ? tunnelPath(target) : null;
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
    if (JSON.stringify(verdict) !== JSON.stringify(named)) {
      return plainPage(400, "Which host?", "the request line and the Host header name different hosts");
    }
    const client = (this.#options.config.isProxyTrusted ? forwardedFor(req) : null) ??
      (peer.transport === "tcp" ? peer.hostname : "127.0.0.1");
    const common = { host, client, scheme: this.#schemeOf(host) };
    if (path !== null) return await this.#byPath(req, path, common);
    if (verdict.kind !== "tunnel") return noTunnel();
    const live = await this.#liveOf(verdict.tunnelId);
    if (live === null) return noTunnel();
    const base = `${common.scheme}://${host}`;
    if (target === ENTER_PATH || target.startsWith(`${ENTER_PATH}?`)) return await this.#enter(req, live, base);
    const isSocket = req.headers.get("upgrade")?.toLowerCase() === "websocket";
    const origin = req.headers.get("origin");
    if (isSocket && origin !== null && origin !== base) {
      return plainPage(403, "Not from here", "WebSockets of a tunnel are opened by its own pages only");
    }
    const grant = await grantFrom(req, live);
    if (grant === null) {
      return strangerPage(`${this.#hubUrl(host)}/tunnel/${verdict.tunnelId}`);
    }
    const passage: Passage = { ...common, form: "origin", base, localHost: localHostOf(live.row) };
    return await this.#forward(req, live, grant, target, passage, isSocket);
  }

  async #byPath(
    req: Request,
    path: NonNullable<ReturnType<typeof tunnelPath>>,
    common: Pick<Passage, "host" | "client" | "scheme">,
  ): Promise<Response> {
    const { auth, config } = this.#options;
    // Whoever leads a browser here by a name of their own is not to be answered.
    const { origin: _origin, ...rest } = Object.fromEntries(req.headers);
    const isOwnHost = checkOrigin(new Request(req.url, { headers: rest }), config);
    if (!isOwnHost.ok) return plainPage(isOwnHost.status, "Not this hub", isOwnHost.message);
    const principal = await auth.authenticate(req);
    const isSocket = req.headers.get("upgrade")?.toLowerCase() === "websocket";
    if (principal !== null && principal.credential.kind === "session" && (isSocket || !isSafe(req.method))) {
      const verdict = checkOrigin(req, config);
      if (!verdict.ok) return plainPage(verdict.status, "Not from here", verdict.message);
      if (req.headers.get("origin") === null) {
        return plainPage(403, "Not from here", "a request with a cookie must carry Origin");
      }
    }
    const found = principal === null
      ? await this.#byPathCookie(req, path)
      : await this.#tunnelOfSession(principal, path.sessionId, path.port);
    if (found === null) {
      return principal === null
        ? plainPage(401, "Sign in first", "this tunnel is its owner's; sign in to the hub, or send an API key")
        : noTunnel();
    }
    const { live, grant } = found;
    const passage: Passage = { ...common, form: "path", base: path.prefix, localHost: localHostOf(live.row) };
    const response = await this.#forward(req, live, grant, path.target, passage, isSocket);
    // The page has no origin, so what it asks for next comes without the hub's cookie: it gets one for this path alone.
    const isPage = ["document", "iframe"].includes(req.headers.get("sec-fetch-dest") ?? "");
    if (isPage && principal?.credential.kind === "session" && mayBeSecure(common)) {
      const secret = await this.store.grant(live.row.tunnelId, grant);
      response.headers.append(
        "set-cookie",
        `perch_tunnel=${live.row.tunnelId}.${secret}; Path=${path.prefix}/; HttpOnly; Secure; SameSite=None`,
      );
    }
    return response;
  }

  /** What a page in the sandbox asks for: without an origin, and with the cookie of its path. */
  async #byPathCookie(
    req: Request,
    path: { sessionId: string; port: number },
  ): Promise<{ live: LiveTunnel; grant: GrantRow } | null> {
    const origin = req.headers.get("origin");
    if (origin !== null && origin !== "null") return null;
    const cookie = / *perch_tunnel=([a-z2-7]{26})\.([0-9A-Za-z]{43}) *(?:;|$)/.exec(req.headers.get("cookie") ?? "");
    const live = cookie === null ? null : await this.#liveOf(cookie[1]!);
    if (live === null || live.row.port !== path.port) return null;
    const { sessionId, userId, runnerId } = live.row;
    if (sessionId !== path.sessionId) {
      const session = await this.#options.store.sessions.info(userId, path.sessionId);
      if (session?.runnerId !== runnerId || sessionId !== null) return null;
    }
    const grant = await live.grantOf(cookie![2]!);
    return grant === null ? null : { live, grant };
  }

  /** The exposed port of a session of the user who asks. */
  async #tunnelOfSession(
    principal: Principal,
    sessionId: string,
    port: number,
  ): Promise<{ live: LiveTunnel; grant: GrantRow } | null> {
    const session = await this.#options.store.sessions.info(principal.userId, sessionId);
    if (session === null) return null;
    const rows = (await this.store.list(principal.userId)).filter((row) => row.port === port);
    const row = rows.find((row) => row.sessionId === sessionId) ??
      rows.find((row) => row.runnerId === session.runnerId && row.sessionId === null);
    const live = row === undefined ? null : await this.#liveOf(row.tunnelId);
    if (live === null) return null;
    const { credential } = principal;
    const who = credential.kind === "key" ? "owner (API key)" : "owner";
    return { live, grant: { credential, shareId: null, who, expiresAt: Date.now() + tunnelLimits.grantMs } };
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
    if (passing === null) {
      const { connections } = live.row.bounds;
      return plainPage(503, "Busy", `this tunnel carries ${connections} requests at once; its owner may allow more`, 1);
    }
    const forwarding: Forwarding = { req, row: live.row, target, passage, passing, links: this.#options.links };
    return isSocket ? await forwardSocket(forwarding) : await forwardHttp(forwarding);
  }

  /** The entry page, and what it posts: a ticket or the secret of a share link for a cookie of this host alone. */
  async #enter(req: Request, live: LiveTunnel, base: string): Promise<Response> {
    if (req.method === "GET" || req.method === "HEAD") return await entryPage();
    if (req.method !== "POST") return plainPage(405, "Not this way", "the entry takes GET and POST");
    if (req.headers.get("origin") !== base || req.headers.get("content-type") !== "application/json") {
      return refusal(403, "this must be posted by the entry page itself");
    }
    const text = await readShort(req);
    const parsed = text === null ? null : Entry.safeParse(parsedJson(text));
    if (!parsed?.success) return refusal(400, "a ticket or a share link is missing; open the tunnel from Perch again");
    if (!live.mayAttempt()) return refusal(429, "too many attempts; wait a minute");
    const grant = "ticket" in parsed.data
      ? await this.#byTicket(live, parsed.data.ticket)
      : await this.#byShare(live, parsed.data.share, parsed.data.password);
    if (grant instanceof Response) return grant;
    const secret = await this.store.grant(live.row.tunnelId, grant);
    return new Response(null, {
      status: 204,
      headers: { "set-cookie": grantCookie(secret, grant, req, base), "cache-control": "no-store" },
    });
  }

  async #byTicket({ row }: LiveTunnel, ticket: string): Promise<GrantRow | Response> {
    const taken = await this.store.takeTicket(row.tunnelId, ticket);
    if (taken === null || !await this.#isValid(taken.credential)) {
      return refusal(403, "this ticket was used already or is too old; open the tunnel from Perch again");
    }
    const { credential } = taken;
    return { credential, shareId: null, who: "owner", expiresAt: Date.now() + tunnelLimits.grantMs };
  }

  async #byShare({ row }: LiveTunnel, secret: string, password: string | undefined): Promise<GrantRow | Response> {
    const share = await this.store.shareOf(row.tunnelId, secret);
    if (share === null) return refusal(403, "this link is not valid, or not any more");
    if (share.passwordHash !== null) {
      if (password === undefined) return refusal(401, "this link needs its password", true);
      if (!await isPassword(password, share.passwordHash)) return refusal(401, "the password is wrong", true);
    }
    const expiresAt = Math.min(share.expiresAt, Date.now() + tunnelLimits.grantMs);
    return { credential: null, shareId: share.shareId, who: share.name || "share link", expiresAt };
  }

  /** Where a browser that reached the hub as `hubHost` finds a tunnel. Null: nowhere. */
  addressOf(row: TunnelRow, hubHost: string): { form: "origin" | "path"; url: string } | null {
    const origin = tunnelOrigin(row.tunnelId, hubHost, this.place);
    if (origin !== null) return { form: "origin", url: `${origin}/` };
    if (row.sessionId === null) return null;
    return { form: "path", url: `/api/tunnel/${encodeURIComponent(row.sessionId)}/${row.port}/` };
  }

  /** The URL that lets its holder in once: the ticket is in the fragment. Null: this tunnel has no origin for that browser. */
  async entryUrl(row: TunnelRow, credential: Principal["credential"], hubHost: string): Promise<string | null> {
    const origin = tunnelOrigin(row.tunnelId, hubHost, this.place);
    if (origin === null) return null;
    return `${origin}${ENTER_PATH}#ticket=${await this.store.issueTicket(row.tunnelId, credential)}`;
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
      this.changed(row.tunnelId);
    }
  }

  /** Tells every isolate that a tunnel was closed or changed: what may not go on is cut. */
  changed(tunnelId: string): void {
    this.#options.mesh.publish(`tunnel:${tunnelId}`, { type: "tunnel_changed" } satisfies TunnelTopicMessage);
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

  /** Where the hub itself is for somebody on a tunnel's host. */
  #hubUrl(host: string): string {
    const { publicUrl } = this.#options.config;
    return publicUrl ?? `http://localhost${/:\d+$/.exec(host)?.[0] ?? ""}`;
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

/** Whether browsers take a cookie that is Secure from here. */
function mayBeSecure({ scheme, host }: Pick<Passage, "scheme" | "host">): boolean {
  return scheme === "https" || /^(localhost|127\.0\.0\.1)(:\d+)?$/.test(host);
}

function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

async function grantFrom(req: Request, live: LiveTunnel): Promise<GrantRow | null> {
  for (const pair of req.headers.get("cookie")?.split(";") ?? []) {
    const separator = pair.indexOf("=");
    if (!grantCookies.includes(pair.slice(0, Math.max(separator, 0)).trim())) continue;
    const grant = await live.grantOf(pair.slice(separator + 1).trim());
    if (grant !== null) return grant;
  }
  return null;
}

/**
 * Host-only and HttpOnly. On a page of its own it is Lax; in the frame beside a timeline, which is another site's, it must be
 * None, and then belongs to that pair of sites alone (Partitioned).
 */
function grantCookie(secret: string, grant: GrantRow, req: Request, base: string): string {
  const isHttps = base.startsWith("https:");
  const maxAgeS = Math.max(1, Math.floor((grant.expiresAt - Date.now()) / 1_000));
  const isFramed = req.headers.get("x-perch-framed") === "1";
  const name = isHttps ? "__Host-perch_tunnel" : "perch_tunnel";
  const place = isFramed ? "SameSite=None; Secure; Partitioned" : isHttps ? "SameSite=Lax; Secure" : "SameSite=Lax";
  return `${name}=${secret}; Path=/; Max-Age=${maxAgeS}; HttpOnly; ${place}`;
}

/** At most ENTRY_BYTES of a body; null when it is longer. */
async function readShort(req: Request): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of req.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > ENTRY_BYTES) return null;
    chunks.push(chunk);
  }
  return await new Blob(chunks as BlobPart[]).text();
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(status: number, message: string, needsPassword = false): Response {
  return Response.json({ error: { message, ...(needsPassword ? { needsPassword } : {}) } }, {
    status,
    headers: { "cache-control": "no-store" },
  });
}

function noTunnel(): Response {
  return plainPage(404, "No such tunnel", "it was closed, has expired, or never was");
}
