/** Refuses state-changing requests that another site made a browser send. */
import { AuthError } from "./errors.ts";

/**
 * Throws `bad_origin` (403) unless the request comes from the hub's own pages, or from no browser at all. `Origin`, when
 * sent, must be the hub's own. Without it a request that a cookie authenticates must say `Sec-Fetch-Site: same-origin` or
 * `none`: browsers add cookies by themselves, but scripts and runners use Bearer keys.
 *
 * Own is the origin that the request names in Host, also under https since a proxy may have ended TLS, and `baseUrl`'s.
 */
export function checkOrigin(req: Request, options: { baseUrl: string; hasCookie: boolean }): void {
  const origin = req.headers.get("origin");
  if (origin !== null) {
    const { host, origin: requested } = new URL(req.url);
    if ([requested, `https://${host}`, new URL(options.baseUrl).origin].includes(origin)) return;
    throw badOrigin(`Origin ${JSON.stringify(origin.slice(0, 200))} is not this hub's (${requested})`);
  }
  const site = req.headers.get("sec-fetch-site");
  if (site === "same-origin" || site === "none") return;
  if (site !== null) throw badOrigin(`Sec-Fetch-Site is "${site.slice(0, 40)}", expected "same-origin"`);
  if (options.hasCookie && !/^bearer\b/i.test(req.headers.get("authorization") ?? "")) {
    throw badOrigin("a request with a cookie must carry Origin; scripts should send an API key as a Bearer token");
  }
}

function badOrigin(detail: string): AuthError {
  return new AuthError(403, "bad_origin", `Refused, since another site may have sent this request: ${detail}`);
}
