/** Request ids, and a log line for each HTTP request. */
import type { Context } from "fresh";
import { errorText } from "./log.ts";
import type { State } from "./state.ts";

/** What a proxy may have named a request. */
const REQUEST_ID = /^[A-Za-z0-9._-]{8,64}$/;
/** Asked for all the time, by machines: logged at debug. */
const quietRoutes: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"]);

/**
 * Runs the rest of a request and logs it: method, route (the pattern, not the path: that may hold ids), status, ms. Failures
 * (5xx) are warnings. The id is the trusted proxy's x-request-id or a new one, is in `ctx.state.requestId`, and is answered as
 * x-request-id.
 */
export async function logRequest(ctx: Context<State>, next: () => Promise<Response>): Promise<Response> {
  const { log, counters, config } = ctx.state.hub;
  const startMs = performance.now();
  const given = config.isProxyTrusted ? ctx.req.headers.get("x-request-id") : null;
  const requestId = given !== null && REQUEST_ID.test(given) ? given : crypto.randomUUID();
  ctx.state.requestId = requestId;
  let status = 500;
  try {
    const response = await next();
    status = response.status;
    // The answer to an upgrade is the socket's and cannot be changed.
    if (status !== 101) response.headers.set("x-request-id", requestId);
    return response;
  } finally {
    const ms = performance.now() - startMs;
    counters.add("http_requests", String(status));
    counters.observe("http_request", ms);
    const isQuiet = ctx.route === null ? status < 400 : quietRoutes.has(ctx.route);
    const level = status >= 500 && !isQuiet ? "warn" : isQuiet ? "debug" : "info";
    log[level]("request", {
      requestId,
      method: ctx.req.method,
      route: ctx.route ?? "static",
      status,
      ms: Math.round(ms * 10) / 10,
      error: status >= 500 && ctx.error ? errorText(ctx.error) : undefined,
    });
  }
}
