/** Tunnels over the hub's REST interface, as the pages use them. */
import * as z from "zod/mini";
import { AccessEntry, type NewTunnel, ShareInfo, type TunnelBounds, TunnelInfo } from "@/protocol/tunnel.ts";
import { Anything, api } from "./api.ts";

const One = z.object({ tunnel: TunnelInfo });
const All = z.object({ tunnels: z.array(TunnelInfo) });

const pathOf = (tunnelId: string) => `/api/tunnels/${encodeURIComponent(tunnelId)}`;

/** Whose tunnels: of a session, or all of a runner. */
export type TunnelFilter = { sessionId: string } | { runnerId: string };

export async function tunnelsOf(filter: TunnelFilter): Promise<TunnelInfo[]> {
  return (await api(All, "GET", `/api/tunnels?${new URLSearchParams(filter)}`)).tunnels;
}

export async function exposePort(asked: NewTunnel): Promise<TunnelInfo> {
  return (await api(One, "POST", "/api/tunnels", asked)).tunnel;
}

/** Renames or bounds a tunnel. */
export async function changeTunnel(
  tunnelId: string,
  change: { name?: string; bounds?: Partial<TunnelBounds> },
): Promise<void> {
  await api(One, "PATCH", pathOf(tunnelId), change);
}

/** Where this browser goes in: once, within a minute. The path form needs no ticket. */
export async function entryOf(tunnel: TunnelInfo): Promise<string> {
  if (tunnel.address?.form === "path") return tunnel.address.url;
  return (await api(z.object({ url: z.string() }), "POST", `${pathOf(tunnel.tunnelId)}/ticket`)).url;
}

/** A link of this hub that opens the tunnel in a tab of its own, whenever it is followed. */
export function tabOf(tunnel: TunnelInfo): string {
  return tunnel.address?.form === "path" ? tunnel.address.url : `/tunnel/${encodeURIComponent(tunnel.tunnelId)}`;
}

/** The address to hand on: its owner gets in with it from any browser, nobody else does. */
export function addressOf(tunnel: TunnelInfo): string {
  return new URL(tunnel.address?.url ?? tabOf(tunnel), location.href).href;
}

export async function closeTunnel(tunnelId: string): Promise<void> {
  await api(Anything, "DELETE", pathOf(tunnelId));
}

/** Makes a share link; its URL is told this once. */
export async function shareTunnel(
  tunnelId: string,
  asked: { name?: string; ttlMs: number; password?: string },
): Promise<{ share: ShareInfo; url: string }> {
  return await api(z.object({ share: ShareInfo, url: z.string() }), "POST", `${pathOf(tunnelId)}/shares`, asked);
}

export async function unshareTunnel(tunnelId: string, shareId: string): Promise<void> {
  await api(Anything, "DELETE", `${pathOf(tunnelId)}/shares/${encodeURIComponent(shareId)}`);
}

/** Requests under way, then the newest that are over. */
export async function accessLog(tunnelId: string): Promise<AccessEntry[]> {
  return (await api(z.object({ entries: z.array(AccessEntry) }), "GET", `${pathOf(tunnelId)}/log`)).entries;
}
