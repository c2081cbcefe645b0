/** Tunnels over the hub's REST interface, as the pages use them. */
import * as z from "zod";
import { AccessEntry, ShareInfo, TunnelInfo } from "@/protocol/tunnel.ts";
import { Anything, api } from "./api.ts";

const pathOf = (tunnelId: string) => `/api/tunnels/${encodeURIComponent(tunnelId)}`;

export async function tunnelsOf(sessionId: string): Promise<TunnelInfo[]> {
  const query = new URLSearchParams({ sessionId });
  return (await api(z.object({ tunnels: z.array(TunnelInfo) }), "GET", `/api/tunnels?${query}`)).tunnels;
}

export async function exposePort(asked: { runnerId: string; port: number; sessionId: string }): Promise<TunnelInfo> {
  return (await api(z.object({ tunnel: TunnelInfo }), "POST", "/api/tunnels", asked)).tunnel;
}

/** Where this browser goes in: once, within a minute. The path form needs no ticket. */
export async function entryOf(tunnel: TunnelInfo): Promise<string> {
  if (tunnel.address?.form === "path") return tunnel.address.url;
  return (await api(z.object({ url: z.string() }), "POST", `${pathOf(tunnel.tunnelId)}/ticket`)).url;
}

export async function closeTunnel(tunnelId: string): Promise<void> {
  await api(Anything, "DELETE", pathOf(tunnelId));
}

/** Makes a share link; its URL is told this once. */
export async function shareTunnel(tunnelId: string, password: string): Promise<{ share: ShareInfo; url: string }> {
  const body = password === "" ? {} : { password };
  return await api(z.object({ share: ShareInfo, url: z.string() }), "POST", `${pathOf(tunnelId)}/shares`, body);
}

export async function unshareTunnel(tunnelId: string, shareId: string): Promise<void> {
  await api(Anything, "DELETE", `${pathOf(tunnelId)}/shares/${encodeURIComponent(shareId)}`);
}

export async function accessLog(tunnelId: string): Promise<AccessEntry[]> {
  return (await api(z.object({ entries: z.array(AccessEntry) }), "GET", `${pathOf(tunnelId)}/log`)).entries;
}
