/** Where tunnels are: which requests are for one, and what their addresses look like. Pure. */
import { tunnelLabel } from "@/protocol/tunnel.ts";

export interface TunnelPlace {
  /** `PERCH_TUNNEL_DOMAIN`: each tunnel is `<label>.<domain>`. Null: only on loopback, as `<label>.localhost`. */
  domain: string | null;
  /** Scheme of the tunnels' addresses: what people see, a proxy may end TLS. */
  scheme: "http" | "https";
  /** Port of the tunnels' addresses when it is not the one that the request names: "" for the scheme's own. Null: the request's. */
  port: string | null;
}

/** Below it tunnels are where they have no origin. */
export const TUNNEL_PATH = "/api/tunnel/";

/** What a request's Host says. `foreign`: below the tunnel domain, and yet no tunnel can be there. */
export type HostVerdict = { kind: "hub" } | { kind: "tunnel"; tunnelId: string } | { kind: "foreign" };

/** Whether a Host (name and port) is a tunnel's. Exact: one label, then the domain, nothing before it and nothing after. */
export function tunnelOfHost(host: string, { domain }: Pick<TunnelPlace, "domain">): HostVerdict {
  const name = host.toLowerCase().replace(/:\d{1,5}$/, "").replace(/\.$/, "");
  if (domain !== null && name.endsWith(`.${domain}`)) {
    const label = name.slice(0, -domain.length - 1);
    return tunnelLabel.test(label) ? { kind: "tunnel", tunnelId: label } : { kind: "foreign" };
  }
  if (name.endsWith(".localhost")) {
    const label = name.slice(0, -".localhost".length);
    if (tunnelLabel.test(label)) return { kind: "tunnel", tunnelId: label };
    // A name below a tunnel's is the tunnel's in a browser's eyes, not the hub's.
    if (label.includes(".") && tunnelLabel.test(label.split(".").at(-1)!)) return { kind: "foreign" };
  }
  return { kind: "hub" };
}

/** Whether two verdicts say the same. */
export function isSameHost(a: HostVerdict, b: HostVerdict): boolean {
  return a.kind === b.kind && (a.kind !== "tunnel" || b.kind !== "tunnel" || a.tunnelId === b.tunnelId);
}

/**
 * The origin of a tunnel, for a browser that reached the hub as `hubHost`. Null: it can have none there, because names below
 * localhost lead to the browser's own machine.
 */
export function tunnelOrigin(tunnelId: string, hubHost: string, place: TunnelPlace): string | null {
  const port = place.port ?? /:(\d{1,5})$/.exec(hubHost)?.[1] ?? "";
  const suffix = port === "" ? "" : `:${port}`;
  if (place.domain !== null) return `${place.scheme}://${tunnelId}.${place.domain}${suffix}`;
  const name = hubHost.toLowerCase().replace(/:\d{1,5}$/, "");
  const isLoopback = name === "localhost" || name === "127.0.0.1" || name === "[::1]" || name.endsWith(".localhost");
  return isLoopback ? `http://${tunnelId}.localhost${/:(\d{1,5})$/.exec(hubHost)?.[0] ?? ""}` : null;
}

/** What the Content-Security-Policy of the hub's pages lets them frame: tunnels and nothing else, wherever they are. */
export function frameSources(place: TunnelPlace, hubHost: string): string {
  const port = place.port ?? /:(\d{1,5})$/.exec(hubHost)?.[1] ?? "";
  if (place.domain !== null) return `${place.scheme}://*.${place.domain}${port === "" ? "" : `:${port}`}`;
  if (tunnelOrigin("", hubHost, place) !== null) return `http://*.localhost${/:(\d{1,5})$/.exec(hubHost)?.[0] ?? ""}`;
  // A policy cannot name an IPv6 address; the hub's other pages let nobody frame them.
  if (/^\[[0-9A-Fa-f:.]+\](:\d{1,5})?$/.test(hubHost)) return "'self'";
  // Without a scheme it is the page's own. A Host that could say more than a host's name gets nothing.
  return /^[A-Za-z0-9.-]+(:\d{1,5})?$/.test(hubHost) ? `${hubHost}${TUNNEL_PATH}` : "'none'";
}

/** A request's target as it was sent: everything after the authority. */
export function rawTarget(url: string): string {
  const slash = url.indexOf("/", url.indexOf("://") + 3);
  return slash === -1 ? "/" : url.slice(slash);
}

/** The authority that a request's URL names. */
export function rawAuthority(url: string): string {
  const start = url.indexOf("://") + 3;
  const slash = url.indexOf("/", start);
  return slash === -1 ? url.slice(start) : url.slice(start, slash);
}

/** A path under which tunnels are where they have no origin: `/api/tunnel/{sessionId}/{port}/…`. */
export function tunnelPath(target: string): { sessionId: string; port: number; prefix: string; target: string } | null {
  const match = /^\/api\/tunnel\/([A-Za-z0-9._:@-]{1,128})\/(\d{1,5})(?=[/?]|$)/.exec(target);
  if (match === null) return null;
  const [prefix, sessionId, port] = match;
  const rest = target.slice(prefix.length);
  return { sessionId: sessionId!, port: Number(port), prefix, target: rest.startsWith("/") ? rest : `/${rest}` };
}
