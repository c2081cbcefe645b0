/** What becomes of headers on their way through a tunnel. Pure. */
import type { HeaderList } from "@/protocol/link/types.ts";
import { endToEnd, isHeaderName, isHeaderValue } from "@/protocol/tunnel.ts";

/** How a tunnel is reached, and what it leads to. */
export interface Passage {
  form: "origin" | "path";
  /** Where the browser is: the tunnel's origin, or the path of the tunnel on the hub's. */
  base: string;
  /** "localhost:5173" */
  localHost: string;
  /** Address of the client, and the scheme that it used. */
  client: string;
  scheme: "http" | "https";
  /** The Host that the client sent. */
  host: string;
}

/** Names of the cookies by which a browser is admitted to a tunnel; they go no further than the hub. */
export const grantCookies: readonly string[] = ["__Host-perch_tunnel", "perch_tunnel"];

/** A request that cannot be passed on as it is; the message is for its sender. */
export class RequestRefusal extends Error {
  override name = "RequestRefusal";
}

/** Never passed on: what concerns one connection, what proxies claim (said anew), what proves something to the hub. */
const dropped: ReadonlySet<string> = new Set([
  "host",
  "expect",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-port",
  "x-real-ip",
]);

/**
 * The headers that the local server gets. To it the browser is a local one: Host, Origin and Referer name its own address, so that
 * its checks of the one against the other hold. Who really asks is in X-Forwarded-For, X-Forwarded-Proto and Forwarded. Throws
 * RequestRefusal.
 */
export function requestHeaders(req: Request, passage: Passage): HeaderList {
  const given: HeaderList = [...req.headers];
  for (const [name, value] of given) {
    if (!isHeaderName(name) || !isHeaderValue(value)) throw new RequestRefusal(`the header "${name}" is not valid`);
  }
  const framing = bodyHeaders(req);
  const local = `http://${passage.localHost}`;
  const kept = endToEnd(given).flatMap(([name, value]): HeaderList => {
    if (dropped.has(name) || name === "content-length") return [];
    if (name === "cookie") return cookiesFor(value, passage);
    if (name === "authorization" && passage.form === "path") return [];
    if (name === "origin") return [[name, value === passage.base ? local : value]];
    if (name === "referer") return [[name, localReferer(value, passage, local)]];
    return [[name, value]];
  });
  const { client, scheme, host } = passage;
  const forClient = client.includes(":") ? `"[${client}]"` : client;
  return [
    ...kept,
    ...framing,
    ["x-forwarded-for", client],
    ["x-forwarded-proto", scheme],
    ["forwarded", `for=${forClient};host="${host}";proto=${scheme}`],
  ];
}

/** How the request's body is framed: its length, or chunks. Throws RequestRefusal for what could be read in two ways. */
function bodyHeaders(req: Request): HeaderList {
  const length = req.headers.get("content-length");
  const coding = req.headers.get("transfer-encoding");
  if (length !== null && coding !== null) {
    throw new RequestRefusal("Content-Length and Transfer-Encoding exclude one another");
  }
  if (length !== null && !/^\d{1,15}$/.test(length)) throw new RequestRefusal("Content-Length is not one number");
  if (coding !== null && coding.toLowerCase() !== "chunked") {
    throw new RequestRefusal("the only transfer coding is chunked");
  }
  if (req.method === "GET" || req.method === "HEAD") {
    // The runtime does not hand out such a body, and to pass the request on without it would change what it says.
    if (coding !== null || (length !== null && Number(length) > 0)) {
      throw new RequestRefusal(`a ${req.method} request with a body cannot go through a tunnel; send a POST`);
    }
    return [];
  }
  if (coding !== null) return [["transfer-encoding", "chunked"]];
  return length === null ? [] : [["content-length", length]];
}

/** The application's own cookies. In the path form there are none: all that come are the hub's. */
function cookiesFor(header: string, { form }: Passage): HeaderList {
  if (form === "path") return [];
  const own = header.split(";").map((pair) => pair.trim()).filter((pair) => pair !== "" && !isGrantCookie(pair));
  return own.length === 0 ? [] : [["cookie", own.join("; ")]];
}

function isGrantCookie(pair: string): boolean {
  return grantCookies.includes(pair.slice(0, Math.max(pair.indexOf("="), 0)).trim());
}

function localReferer(value: string, { base, form }: Passage, local: string): string {
  if (value === base || value.startsWith(`${base}/`)) return local + value.slice(base.length);
  return form === "path" ? `${local}/` : value;
}

/** Never passed back, in either form. */
const droppedAnswers: ReadonlySet<string> = new Set([
  "alt-svc",
  // "cookies" would clear those of the whole registrable domain, the hub's among them.
  "clear-site-data",
]);

/** Never passed back from a page that shares the hub's origin. */
const droppedInPath: ReadonlySet<string> = new Set([
  "set-cookie",
  "service-worker-allowed",
  "strict-transport-security",
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-allow-headers",
  "access-control-allow-methods",
  "access-control-expose-headers",
  "access-control-max-age",
  "cross-origin-opener-policy",
  "cross-origin-embedder-policy",
  "cross-origin-resource-policy",
  "origin-agent-cluster",
  "nel",
  "report-to",
  "reporting-endpoints",
  "referrer-policy",
]);

/** Gives a tunnelled page an origin of its own that no other page has, not even another tunnel's. */
export const sandboxPolicy = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads";

/** The headers that the browser gets, in order, repeats kept. */
export function answerHeaders(headers: HeaderList, passage: Passage): HeaderList {
  const kept = endToEnd(headers).flatMap(([name, value]): HeaderList => {
    if (droppedAnswers.has(name)) return [];
    if (passage.form === "path" && droppedInPath.has(name)) return [];
    if (name === "set-cookie") return cookieFrom(value);
    if (name === "location" || name === "content-location") return [[name, outward(value, passage)]];
    return [[name, value]];
  });
  if (passage.form === "origin") return kept;
  return [
    ...kept,
    ["content-security-policy", sandboxPolicy],
    ["x-content-type-options", "nosniff"],
    ["referrer-policy", "no-referrer"],
  ];
}

/** Host-only, whatever host the application believes to be; and not by the name of the hub's own. */
function cookieFrom(value: string): HeaderList {
  const [pair = "", ...attributes] = value.split(";");
  if (isGrantCookie(pair.trim())) return [];
  const kept = attributes.filter((attribute) =>
    !/^\s*domain\s*=/i.test(attribute) && !/^\s*domain\s*$/i.test(attribute)
  );
  return [["set-cookie", [pair, ...kept].join(";")]];
}

/** An address on the local server as the browser reaches it. */
function outward(value: string, { base, form, localHost }: Passage): string {
  const port = localHost.slice(localHost.lastIndexOf(":"));
  for (const name of [localHost, `localhost${port}`, `127.0.0.1${port}`, `[::1]${port}`]) {
    for (const scheme of ["http://", "https://"]) {
      const own = scheme + name;
      if (value === own || value.startsWith(`${own}/`) || value.startsWith(`${own}?`)) {
        return base + value.slice(own.length);
      }
    }
  }
  return form === "path" && value.startsWith("/") && !value.startsWith("//") ? base + value : value;
}
