/** What people do with tunnels: open, list, share, bound, close. REST routes call it. */
import * as z from "zod";
import { type GatewayContext, GatewayError } from "@/lib/gateway/context.ts";
import { askRunner } from "@/lib/hub_runners.ts";
import { requireRunner, requireSession } from "@/lib/hub_sessions.ts";
import { errorText } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import { limits } from "@/protocol/mod.ts";
import {
  type AccessEntry,
  type NewShare,
  type NewTunnel,
  type ShareInfo,
  TunnelBounds,
  TunnelId,
  type TunnelInfo,
  tunnelLimits,
  TunnelResult,
} from "@/protocol/tunnel.ts";
import type { ShareRow, TunnelRow } from "./rows.ts";
import { randomLabel } from "./store.ts";

/** Query of `GET /api/tunnels`. */
export const TunnelFilter = z.object({ sessionId: z.string().optional(), runnerId: z.string().optional() });

/** Body of `PATCH /api/tunnels/<id>`. */
export const TunnelPatch = z.object({
  name: z.string().trim().min(1).max(limits.titleChars).optional(),
  bounds: z.object(TunnelBounds.shape).partial().optional(),
});

/**
 * Has the runner expose a port and makes its tunnel; the one that is there already when it is asked for again. Throws GatewayError:
 * `not_found`, `unavailable` (offline), `conflict` (the runner refuses, or too many).
 */
export async function openTunnel(ctx: GatewayContext, principal: Principal, asked: NewTunnel): Promise<TunnelRow> {
  const { store } = ctx.tunnels;
  const { runnerId, port, host = null, sessionId = null } = asked;
  const runner = await requireRunner(ctx, principal, runnerId);
  if (sessionId !== null && (await requireSession(ctx, principal, sessionId)).runnerId !== runnerId) {
    throw new GatewayError("conflict", "this session is another runner's", "sessionId");
  }
  const rows = await store.list(principal.userId);
  const known = rows.find((row) => row.runnerId === runnerId && row.port === port && row.host === host);
  if (known === undefined && rows.length >= tunnelLimits.perUser) {
    throw new GatewayError("conflict", `this account has ${tunnelLimits.perUser} tunnels already; close some`);
  }
  const expiresAt = asked.ttlMs === undefined ? null : Date.now() + asked.ttlMs;
  const row: TunnelRow = {
    tunnelId: known?.tunnelId ?? randomLabel(),
    userId: principal.userId,
    userName: principal.userName,
    runnerId,
    port,
    host,
    name: asked.name || known?.name || (host === null ? `Port ${port}` : `${host}:${port}`),
    sessionId: sessionId ?? known?.sessionId ?? null,
    createdAt: known?.createdAt ?? Date.now(),
    expiresAt,
    bounds: { connections: tunnelLimits.connections, bytesPerS: null, ...known?.bounds, ...asked.bounds },
  };
  const answer = TunnelResult.parse(
    await askRunner(ctx, principal, runnerId, {
      type: "expose_port",
      tunnelId: row.tunnelId,
      port,
      host,
      sessionId: row.sessionId,
      expiresAt,
      others: rows.filter((other) => other.runnerId === runnerId).map(({ tunnelId }) => tunnelId),
    }),
  );
  if (!answer.ok) {
    const reason = `runner "${runner.name}" refuses: ${answer.error ?? "no reason given"}`;
    throw new GatewayError("conflict", reason, host === null ? "port" : "host");
  }
  await store.put(row);
  ctx.tunnels.changed(row);
  return row;
}

/** The user's tunnel. Throws `not_found`, for another user's too. */
export async function requireTunnel(ctx: GatewayContext, principal: Principal, tunnelId: string): Promise<TunnelRow> {
  const row = TunnelId.safeParse(tunnelId).success ? await ctx.tunnels.store.get(tunnelId) : null;
  if (row?.userId !== principal.userId) {
    throw new GatewayError("not_found", `there is no tunnel "${tunnelId.slice(0, 64)}"`, "tunnelId");
  }
  return row;
}

/** The user's tunnels as lists show them, for a browser that reached the hub as `hubHost`. */
export async function listTunnels(
  ctx: GatewayContext,
  principal: Principal,
  filter: z.infer<typeof TunnelFilter>,
  hubHost: string,
): Promise<TunnelInfo[]> {
  const rows = (await ctx.tunnels.store.list(principal.userId)).filter((row) =>
    (filter.runnerId === undefined || row.runnerId === filter.runnerId) &&
    (filter.sessionId === undefined || row.sessionId === filter.sessionId)
  );
  return await Promise.all(rows.map((row) => tunnelInfo(ctx, row, hubHost)));
}

export async function tunnelInfo(ctx: GatewayContext, row: TunnelRow, hubHost: string): Promise<TunnelInfo> {
  const { userId, userName, ...told } = row;
  const runner = await ctx.store.runners.info(userId, row.runnerId);
  return {
    ...told,
    runnerName: runner?.name ?? null,
    isConnected: runner?.isConnected ?? false,
    createdBy: userName,
    address: ctx.tunnels.addressOf(row, hubHost),
    shares: (await ctx.tunnels.store.shares(row.tunnelId)).map(shareInfo),
  };
}

/** Renames or bounds a tunnel. Throws `not_found`. */
export async function patchTunnel(
  ctx: GatewayContext,
  principal: Principal,
  tunnelId: string,
  patch: z.infer<typeof TunnelPatch>,
): Promise<TunnelRow> {
  const row = await requireTunnel(ctx, principal, tunnelId);
  const next = { ...row, name: patch.name ?? row.name, bounds: { ...row.bounds, ...patch.bounds } };
  await ctx.tunnels.store.put(next);
  ctx.tunnels.changed(next);
  return next;
}

/** Closes a tunnel: what goes through it is cut at once, and its runner exposes the port no more. Throws `not_found`. */
export async function closeTunnel(ctx: GatewayContext, principal: Principal, tunnelId: string): Promise<void> {
  const row = await requireTunnel(ctx, principal, tunnelId);
  await ctx.tunnels.store.delete(principal.userId, tunnelId);
  ctx.tunnels.changed(row);
  // Without its row nothing leads to the port any more; a runner that is offline forgets it when it exposes the next one.
  await askRunner(ctx, principal, row.runnerId, { type: "unexpose_port", tunnelId })
    .catch((error) => ctx.log.info("unexpose_not_delivered", { tunnelId, error: errorText(error) }));
}

/** A URL that lets this user's browser in, once, within a minute, and leads it to the path `next`. Throws `not_found`, `conflict` (it has no origin there). */
export async function enterTunnel(
  ctx: GatewayContext,
  principal: Principal,
  tunnelId: string,
  hubHost: string,
  next?: string,
): Promise<string> {
  const row = await requireTunnel(ctx, principal, tunnelId);
  return await ctx.tunnels.entryUrl(row, principal.credential, hubHost, next) ?? noOrigin();
}

/** Makes a share link. The URL holds the secret and is not told again. Throws `not_found`, `conflict`. */
export async function shareTunnel(
  ctx: GatewayContext,
  principal: Principal,
  tunnelId: string,
  asked: NewShare,
  hubHost: string,
): Promise<{ share: ShareInfo; url: string }> {
  const { store } = ctx.tunnels;
  const row = await requireTunnel(ctx, principal, tunnelId);
  if (ctx.tunnels.shareUrl(row, "", hubHost) === null) noOrigin();
  const count = (await store.shares(tunnelId)).length;
  if (count >= tunnelLimits.shares) {
    throw new GatewayError("conflict", `this tunnel has ${tunnelLimits.shares} share links already; remove some`);
  }
  const { row: share, secret } = await store.addShare(tunnelId, {
    name: asked.name || `Link ${count + 1}`,
    ttlMs: asked.ttlMs,
    ...(asked.password === undefined ? {} : { password: asked.password }),
  });
  ctx.tunnels.changed(row);
  return { share: shareInfo(share), url: ctx.tunnels.shareUrl(row, secret, hubHost)! };
}

/** Ends a share link, and cuts whoever came through it. Throws `not_found`. */
export async function unshareTunnel(
  ctx: GatewayContext,
  principal: Principal,
  tunnelId: string,
  shareId: string,
): Promise<void> {
  const row = await requireTunnel(ctx, principal, tunnelId);
  if (!await ctx.tunnels.store.deleteShare(tunnelId, shareId)) {
    throw new GatewayError("not_found", "there is no such share link", "shareId");
  }
  ctx.tunnels.changed(row);
}

/** Requests under way, then the newest that are over, newest first. Throws `not_found`. */
export async function tunnelLog(ctx: GatewayContext, principal: Principal, tunnelId: string): Promise<AccessEntry[]> {
  await requireTunnel(ctx, principal, tunnelId);
  return await ctx.tunnels.log(tunnelId);
}

function shareInfo({ shareId, name, createdAt, expiresAt, passwordHash }: ShareRow): ShareInfo {
  return { shareId, name, createdAt, expiresAt, hasPassword: passwordHash !== null };
}

function noOrigin(): never {
  throw new GatewayError(
    "conflict",
    "tunnels have no address of their own on this hub; set PERCH_TUNNEL_DOMAIN (see docs/tunnels.md)",
  );
}
