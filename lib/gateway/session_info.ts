/** Sessions as lists show them: what the store knows, and how many viewers look at them now. */
import type { SessionInfo } from "@/protocol/mod.ts";
import type { GatewayContext } from "./context.ts";

/** The session as this user sees it; null when it does not exist or is another user's. */
export async function sessionInfo(ctx: GatewayContext, userId: string, sessionId: string): Promise<SessionInfo | null> {
  const [info, counts] = await Promise.all([
    ctx.store.sessions.info(userId, sessionId),
    ctx.presence.counts(userId, sessionId),
  ]);
  return info && { ...info, viewerCount: counts.get(sessionId) ?? 0 };
}

/** All sessions of a user, newest activity first. */
export async function sessionInfos(ctx: GatewayContext, userId: string): Promise<SessionInfo[]> {
  const [infos, counts] = await Promise.all([ctx.store.sessions.list(userId), ctx.presence.counts(userId)]);
  return infos.map((info) => ({ ...info, viewerCount: counts.get(info.sessionId) ?? 0 }));
}
