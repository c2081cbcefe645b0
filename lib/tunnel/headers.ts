/** What becomes of headers on their way through a tunnel. Pure. */
import type { HeaderList } from "@/protocol/link/types.ts";
import { framedBy } from "./framing.ts";
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
  /** See hubAncestors. Null: what the application says of frames stays. */
  ancestors: string | null;
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
  const given: HeaderList = [];
  // A fifth of what an iterator takes.
  req.headers.forEach((value, name) => given.push([name, value]));
  const local = `http://${passage.localHost}`;
  const kept: HeaderList = [];
  let length: string | null = null;
  let coding: string | null = null;
  for (const header of given) {
    const [name, value] = header;
    if (!isHeaderName(name) || !isHeaderValue(value)) throw new RequestRefusal(`the header "${name}" is not valid`);
    if (name === "content-length") length = value;
    else if (name === "transfer-encoding") coding = value;
  }
  for (const header of endToEnd(given)) {
    const [name, value] = header;
    switch (name) {
      case "content-length":
        break;
      case "cookie": {
        const own = ownCookies(value, passage);
        if (own !== "") kept.push([name, own]);
        break;
      }
      case "authorization":
        if (passage.form !== "path") kept.push(header);
        break;
      case "origin":
        kept.push([name, value === passage.base ? local : value]);
        break;
      case "referer":
        kept.push([name, localReferer(value, passage, local)]);
        break;
      default:
        if (!dropped.has(name)) kept.push(header);
    }
  }
  const framing = bodyHeader(req.method, length, coding);
  if (framing !== null) kept.push(framing);
  const { client, scheme, host } = passage;
  const forClient = client.includes(":") ? `"[${client}]"` : client;
  kept.push(
    ["x-forwarded-for", client],
    ["x-forwarded-proto", scheme],
    ["forwarded", `for=${forClient};host="${host}";proto=${scheme}`],
  );
  return kept;
}

/** How the request's body is framed: its length, chunks, or null for none. Throws RequestRefusal for what could be read in two ways. */
function bodyHeader(method: string, length: string | null, coding: string | null): [string, string] | null {
  if (length !== null && coding !== null) {
    throw new RequestRefusal("Content-Length and Transfer-Encoding exclude one another");
  }
  if (length !== null && !/^\d{1,15}$/.test(length)) throw new RequestRefusal("Content-Length is not one number");
  if (coding !== null && coding.toLowerCase() !== "chunked") {
    throw new RequestRefusal("the only transfer coding is chunked");
  }
  if (method === "GET" || method === "HEAD") {
    // The runtime does not hand out such a body, and to pass the request on without it would change what it says.
    if (coding !== null || (length !== null && Number(length) > 0)) {
      throw new RequestRefusal(`a ${method} request with a body cannot go through a tunnel; send a POST`);
    }
    return null;
  }
  if (coding !== null) return ["transfer-encoding", "chunked"];
  return length === null ? null : ["content-length", length];
}

/** The application's own cookies; "" when there are none. In the path form there are none: all that come are the hub's. */
function ownCookies(header: string, { form }: Passage): string {
  if (form === "path") return "";
  return header.split(";").map((pair) => pair.trim()).filter((pair) => pair !== "" && !isGrantCookie(pair)).join("; ");
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
  const kept: HeaderList = [];
  const isPath = passage.form === "path";
  for (const header of endToEnd(headers)) {
    const [name, value] = header;
    if (droppedAnswers.has(name) || (isPath && droppedInPath.has(name))) continue;
    if (name === "set-cookie") {
      const cookie = ownCookie(value);
      if (cookie !== null) kept.push([name, cookie]);
    } else if (name === "location" || name === "content-location") kept.push([name, outward(value, passage)]);
    else kept.push(header);
  }
  const framed = passage.ancestors === null ? kept : framedBy(passage.ancestors, kept);
  if (isPath) {
    framed.push(
      ["content-security-policy", sandboxPolicy],
      ["x-content-type-options", "nosniff"],
      ["referrer-policy", "no-referrer"],
    );
  }
  return framed;
}

/** A cookie as it is set for the tunnel's host alone, whatever host the application believes to be; null: by the name of the hub's own. */
function ownCookie(value: string): string | null {
  const [pair = "", ...attributes] = value.split(";");
  if (isGrantCookie(pair.trim())) return null;
  const kept = attributes.filter((attribute) =>
    !/^\s*domain\s*=/i.test(attribute) && !/^\s*domain\s*$/i.test(attribute)
  );
  return [pair, ...kept].join(";");
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
