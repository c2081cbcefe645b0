/** What is checked before a request becomes a WebSocket: who, from where, which Host, which protocol version. */
import { closeCodes, isProtocolCompatible, PERCH_VERSION, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { HubConfig } from "@/lib/hub.ts";
import type { Principal } from "@/lib/principal.ts";
import type { Namespace } from "./connection.ts";

/** Namespaces that programs open: they must name an API key, a browser's cookie does not do. */
const keyOnly: ReadonlySet<Namespace> = new Set(["relay", "runner", "link"]);

export type RequestVerdict =
  | { ok: true }
  | { ok: false; status: 400 | 401 | 403; code: string; message: string };

/**
 * Whether Host and Origin are this hub's own. Host must be an IP address, a localhost name, the public URL's or a
 * configured one, so that a name that an attacker points here (DNS rebinding) is not taken for the hub; Origin, when
 * present, must be the request's own (under https too: a proxy may have ended TLS) or the public URL's.
 */
export function checkOrigin(req: Request, config: HubConfig): RequestVerdict {
  const url = new URL(req.url);
  const publicUrl = config.publicUrl === undefined ? null : new URL(config.publicUrl);
  const host = hostOf(req.headers.get("host") ?? url.host);
  if (host === null || !isOwnHost(host.hostname, publicUrl, config.hostNames ?? [])) {
    return {
      ok: false,
      status: 403,
      code: "foreign_host",
      message: `this hub does not answer for host "${shown(req.headers.get("host"))}"; ` +
        "name it as the hub's public URL if it should",
    };
  }
  const origin = req.headers.get("origin");
  if (origin === null) return { ok: true };
  const own = [`${url.protocol}//${host.host}`, `https://${host.host}`, publicUrl?.origin];
  if (own.includes(origin)) return { ok: true };
  return {
    ok: false,
    status: 403,
    code: "foreign_origin",
    message: `requests from the origin "${shown(origin)}" are refused; open the hub itself`,
  };
}

/** All checks of an upgrade but the protocol version, which is answered on the socket. */
export function checkUpgrade(
  req: Request,
  namespace: Namespace,
  principal: Principal | null,
  config: HubConfig,
): { ok: true; principal: Principal } | Extract<RequestVerdict, { ok: false }> {
  const origin = checkOrigin(req, config);
  if (!origin.ok) return origin;
  if (principal === null) {
    return { ok: false, status: 401, code: "unauthorized", message: `/ws/${namespace} needs a valid credential` };
  }
  if (keyOnly.has(namespace) && principal.credential.kind !== "key") {
    return {
      ok: false,
      status: 401,
      code: "unauthorized",
      message: `/ws/${namespace} needs an API key as "Authorization: Bearer"`,
    };
  }
  if (req.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return { ok: false, status: 400, code: "not_websocket", message: `/ws/${namespace} is a WebSocket endpoint` };
  }
  return { ok: true, principal };
}

/** What to say and do on a socket whose side speaks another protocol version; null when it can be spoken with. */
export function versionRefusal(version: unknown): { message: string; closeCode: number } | null {
  if (isProtocolCompatible(version)) return null;
  return {
    message: `this hub (${PERCH_VERSION}) speaks protocol version ${PROTOCOL_VERSION}, the other side ` +
      `${shown(String(version))}; update the older of the two`,
    closeCode: closeCodes.protocolVersion,
  };
}

function hostOf(host: string): URL | null {
  if (!/^[A-Za-z0-9._:[\]-]+$/.test(host)) return null;
  try {
    return new URL(`http://${host}`);
  } catch {
    return null;
  }
}

function isOwnHost(hostname: string, publicUrl: URL | null, hostNames: readonly string[]): boolean {
  return hostname === publicUrl?.hostname || hostname === "localhost" || hostname.endsWith(".localhost") ||
    hostname.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(hostname) ||
    hostNames.some((name) => name.toLowerCase() === hostname);
}

function shown(text: string | null): string {
  return (text ?? "").replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 128);
}
