/** Tunnels where they have no origin: below a path of the hub's, sandboxed, and who may use them there. */
import { checkOrigin } from "@/lib/gateway/upgrade.ts";
import type { HubConfig } from "@/lib/hub.ts";
import type { Authenticator, Principal } from "@/lib/principal.ts";
import type { SessionStore } from "@/lib/session/types.ts";
import { tunnelLimits } from "@/protocol/tunnel.ts";
import type { tunnelPath } from "./address.ts";
import type { Passage } from "./headers.ts";
import type { LiveTunnel } from "./live_tunnel.ts";
import { plainPage } from "./pages.ts";
import type { GrantRow } from "./rows.ts";
import type { TunnelStore } from "./store.ts";

type Path = NonNullable<ReturnType<typeof tunnelPath>>;

export interface PathFormOptions {
  store: TunnelStore;
  sessions: SessionStore["sessions"];
  auth: Authenticator;
  config: HubConfig;
  liveOf(tunnelId: string): Promise<LiveTunnel | null>;
}

/** Who asks for which tunnel; `isOwnPage`: with the hub's own cookie, so that a page gets one for its path. */
export interface PathAdmission {
  live: LiveTunnel;
  grant: GrantRow;
  isOwnPage: boolean;
}

/** Decides about a request below `/api/tunnel/`: an admission, or the page that refuses it. */
export async function admitByPath(
  req: Request,
  path: Path,
  isSocket: boolean,
  options: PathFormOptions,
): Promise<PathAdmission | Response> {
  const { auth, config } = options;
  // Whoever leads a browser here by a name of their own is not to be answered.
  const { origin: _origin, ...rest } = Object.fromEntries(req.headers);
  const isOwnHost = checkOrigin(new Request(req.url, { headers: rest }), config);
  if (!isOwnHost.ok) return plainPage(isOwnHost.status, "Not this hub", isOwnHost.message);
  const principal = await auth.authenticate(req);
  if (principal !== null && principal.credential.kind === "session" && (isSocket || !isSafe(req.method))) {
    const verdict = checkOrigin(req, config);
    if (!verdict.ok) return plainPage(verdict.status, "Not from here", verdict.message);
    if (req.headers.get("origin") === null) {
      return plainPage(403, "Not from here", "a request with a cookie must carry Origin");
    }
  }
  const found = principal === null
    ? await byPathCookie(req, path, options)
    : await tunnelOfSession(principal, path, options);
  if (found === null) return principal === null ? signInFirst() : noTunnel();
  const isDocument = ["document", "iframe"].includes(req.headers.get("sec-fetch-dest") ?? "");
  return { ...found, isOwnPage: isDocument && principal?.credential.kind === "session" };
}

/**
 * The page has no origin, so what it asks for next comes without the hub's cookie: it gets one for its path alone. Null: browsers
 * take no such cookie from here.
 */
export async function pathCookie(
  { live, grant }: PathAdmission,
  { prefix }: Path,
  { scheme, host }: Pick<Passage, "scheme" | "host">,
  store: TunnelStore,
): Promise<string | null> {
  if (scheme !== "https" && !/^(localhost|127\.0\.0\.1)(:\d+)?$/.test(host)) return null;
  const secret = await store.grant(live.row.tunnelId, grant);
  return `perch_tunnel=${live.row.tunnelId}.${secret}; Path=${prefix}/; HttpOnly; Secure; SameSite=None`;
}

/** What a page in the sandbox asks for: without an origin, and with the cookie of its path. */
async function byPathCookie(
  req: Request,
  path: Path,
  { sessions, liveOf }: PathFormOptions,
): Promise<{ live: LiveTunnel; grant: GrantRow } | null> {
  const origin = req.headers.get("origin");
  if (origin !== null && origin !== "null") return null;
  const cookie = / *perch_tunnel=([a-z2-7]{26})\.([0-9A-Za-z]{43}) *(?:;|$)/.exec(req.headers.get("cookie") ?? "");
  const live = cookie === null ? null : await liveOf(cookie[1]!);
  if (live === null || live.row.port !== path.port) return null;
  const { sessionId, userId, runnerId } = live.row;
  if (sessionId !== path.sessionId) {
    const session = await sessions.info(userId, path.sessionId);
    if (session?.runnerId !== runnerId || sessionId !== null) return null;
  }
  const grant = await live.grantOf(cookie![2]!);
  return grant === null ? null : { live, grant };
}

/** The exposed port of a session of the user who asks. */
async function tunnelOfSession(
  { userId, credential }: Principal,
  { sessionId, port }: Path,
  { store, sessions, liveOf }: PathFormOptions,
): Promise<{ live: LiveTunnel; grant: GrantRow } | null> {
  const session = await sessions.info(userId, sessionId);
  if (session === null) return null;
  const rows = (await store.list(userId)).filter((row) => row.port === port);
  const row = rows.find((row) => row.sessionId === sessionId) ??
    rows.find((row) => row.runnerId === session.runnerId && row.sessionId === null);
  const live = row === undefined ? null : await liveOf(row.tunnelId);
  if (live === null) return null;
  const who = credential.kind === "key" ? "owner (API key)" : "owner";
  return { live, grant: { credential, shareId: null, who, expiresAt: Date.now() + tunnelLimits.grantMs } };
}

/** Whether a method only asks (RFC 9110, 9.2.1). */
export function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

function signInFirst(): Response {
  return plainPage(401, "Sign in first", "this tunnel is its owner's; sign in to the hub, or send an API key");
}

/** What there is where no tunnel is. */
export function noTunnel(): Response {
  return plainPage(404, "No such tunnel", "it was closed, has expired, or never was");
}
