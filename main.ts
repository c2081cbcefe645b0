/**
 * The composition root of the hub: configuration → KV → hub → Fresh app. Importing it opens this isolate's hub; the
 * generated `_fresh/server.js` serves `app`, and `start.ts` adds the command line and the local runner.
 */
import { hostname } from "node:os";
import { App, csp, staticFiles } from "fresh";
import { asApiError } from "@/lib/api_errors.ts";
import { openAuth } from "@/lib/auth/mod.ts";
import { localUrl, readEnvironment } from "@/lib/config.ts";
import { openHub } from "@/lib/hub.ts";
import { openKv } from "@/lib/kv/open.ts";
import { createLog, errorText } from "@/lib/log.ts";
import { openMesh } from "@/lib/mesh/mesh.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import { logRequest } from "@/lib/request_log.ts";
import { Retention } from "@/lib/retention.ts";
import { openSessionStore } from "@/lib/session/store.ts";
import { frameSources } from "@/lib/tunnel/address.ts";
import type { State } from "@/lib/state.ts";
import { PERCH_VERSION } from "@/protocol/mod.ts";
import { contentSecurityPolicy, securityHeaders } from "./fresh.config.ts";

const environment = readEnvironment(Deno.env.toObject(), Deno.stderr.isTerminal());
const isHttps = environment.publicUrl?.startsWith("https:") ?? false;
const isolateId = crypto.randomUUID();
const log = createLog(environment.logLevel, { isolate: isolateId });
const kv = await openKv(environment.kvLocation, { isolates: environment.isolates });
const isEmbedded = environment.kvLocation?.startsWith("http") === false;
// Only one process opens an embedded database, so whatever an earlier one left behind is dead.
const boot = Deno.env.get("PERCH_BOOT_ID") ?? isolateId;
// Isolates of one process share its port, so that nobody could say which of them he means: each gets another, for the others only.
const peerServer: Deno.HttpServer<Deno.NetAddr> | null =
  environment.isolates === 1 || environment.isolateUrl !== undefined
    ? null
    : Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (req): Promise<Response> =>
      new URL(req.url).pathname === "/ws/mesh" ? mesh.upgrade(req) : hub.links.upgradePeer(req));
const isolateUrl: string | undefined = peerServer === null
  ? environment.isolateUrl
  : `http://127.0.0.1:${peerServer.addr.port}`;

const mesh: Mesh = await openMesh({
  kv,
  isolateId,
  ...(isolateUrl === undefined ? {} : { url: isolateUrl }),
  ...(isEmbedded ? { slot: { name: "embedded", boot } } : {}),
  onError: (error) => log.warn("mesh_failed", { error: errorText(error) }),
  onOverflow: (peer, bytes) => log.warn("mesh_overflow", { peer, bytes }),
  onUnreachable: (peer, url, error) => log.warn("mesh_peer_unreachable", { peer, url, error }),
});
const store = openSessionStore({
  kv,
  mesh,
  retentionBytes: environment.retention.sessionBytes,
  onError: (error) => log.warn("store_failed", { error: errorText(error) }),
});
const auth = await openAuth({
  kv,
  baseUrl: environment.publicUrl ?? localUrl(environment),
  isSignupOpen: environment.isSignupOpen,
  onRevoked: (userId, credential) => hub.credentialRevoked(userId, credential),
});

/** This isolate's hub. */
export const hub = openHub({
  log,
  kv,
  mesh,
  store,
  auth,
  // The machine's own names are how others on its network reach it.
  config: {
    publicUrl: environment.publicUrl,
    isolateUrl,
    hostNames: [...environment.hostNames, hostname(), `${hostname()}.local`],
    isProxyTrusted: environment.isProxyTrusted,
    metricsToken: environment.metricsToken,
    tunnels: environment.tunnels,
  },
  version: PERCH_VERSION,
  isolateId,
});

const retention = new Retention({
  kv,
  store,
  mesh,
  log,
  limits: environment.retention,
  onForgotten: (userId, sessionId) => hub.sessionGone(userId, sessionId),
});
retention.start();

/**
 * Moves the clients over (PERCH_DRAIN_MS at most), then closes this isolate's hub and everything under it, after committing
 * what was received.
 */
export async function closeHub(): Promise<void> {
  log.info("stopping");
  await hub.drain(environment.drainMs);
  auth.close();
  await hub.close();
  await retention[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  await mesh[Symbol.asyncDispose]();
  await peerServer?.shutdown();
  kv.close();
}

export const app = new App<State>()
  // Before everything else: what is for a tunnel is not the hub's, and gets nothing of it.
  .use((ctx) => hub.tunnels.answer(ctx.req, ctx.info.remoteAddr) ?? ctx.next())
  .use((ctx) => {
    ctx.state.hub = hub;
    return logRequest(ctx, () => ctx.next());
  })
  .use(async (ctx) => {
    const response = asApiError(ctx.req, ctx.url.pathname, await ctx.next());
    if (response.status === 101) return response;
    // Opening a page is what keeps a sign-in from ageing out.
    if (ctx.req.headers.get("sec-fetch-dest") === "document" && auth.hasSessionCookie(ctx.req)) {
      const refreshed = await auth.getSession(ctx.req);
      for (const cookie of refreshed.headers.getSetCookie()) response.headers.append("set-cookie", cookie);
    }
    for (const [name, value] of Object.entries(securityHeaders)) response.headers.set(name, value);
    let policy = response.headers.get("content-security-policy");
    // Previews are the one thing that a page of the hub frames: tunnels, each in an origin of its own.
    if (policy !== null) {
      const frames = frameSources(environment.tunnels, ctx.req.headers.get("host") ?? "");
      policy = policy.replace("frame-src 'none'", `frame-src ${frames}`);
      response.headers.set("content-security-policy", policy);
    }
    // Over plain http there is nothing to upgrade to, and the page's own files would be asked for over https.
    if (policy !== null && !isHttps) {
      response.headers.set("content-security-policy", policy.replace(/; upgrade-insecure-requests\b/, ""));
    }
    return response;
  })
  .use(csp({ useNonce: true, csp: contentSecurityPolicy }))
  .use(staticFiles())
  .fsRoutes();

/**
 * Serves the built app on a port. Tunnels are answered without the app around them, which costs more than they do; the app's first
 * middleware does the same for servers that know nothing of it.
 */
export function serve(
  app: (req: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Promise<Response>,
  options: Deno.ServeTcpOptions,
): Deno.HttpServer<Deno.NetAddr> {
  // An answer that has begun and cannot go on: the client sees it break off. As a rule a tunnel's local server broke its own.
  const onError = (error: unknown) => {
    log.info("answer_broken", { error: errorText(error) });
    return new Response(null, { status: 500 });
  };
  return Deno.serve({ ...options, onError }, (req, info) => hub.tunnels.answer(req, info.remoteAddr) ?? app(req, info));
}

export { auth };
