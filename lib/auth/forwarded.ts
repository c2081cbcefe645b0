/** The client's address as the hub's own proxy names it. */
import { isIP } from "node:net";

/**
 * The last hop of X-Forwarded-For: the one that the nearest proxy wrote itself, whatever a client put before it. Null when
 * there is none or it is not an IP address. Only for hubs that nobody but their proxy can reach: others could name any.
 */
export function forwardedFor(req: Request): string | null {
  const last = req.headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() ?? "";
  // Some proxies add the port: "192.0.2.1:4711", "[2001:db8::1]:4711".
  const address = /^\[([^\]]+)\](?::\d+)?$/.exec(last)?.[1] ?? /^(\d+(?:\.\d+){3}):\d+$/.exec(last)?.[1] ?? last;
  return isIP(address) === 0 ? null : address;
}
