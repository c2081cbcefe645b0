/** What people do with sessions as a whole: start, end, resume, delete. REST routes call it. */
import * as z from "zod";
import {
  AgentLaunch,
  type CommandStatus,
  Id,
  limits,
  type RunnerInfo,
  type SessionInfo,
  terminalAgentId,
} from "@/protocol/mod.ts";
import { commandRunner, redeliver } from "@/lib/gateway/commands.ts";
import { callIsolate, type GatewayContext, GatewayError } from "@/lib/gateway/context.ts";
import type { SessionTopicMessage } from "@/lib/gateway/topics.ts";
import { errorText } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import type { InboxTarget } from "@/lib/session/types.ts";

/** Body of `POST /api/sessions`. */
export const NewSession = z.object({
  runnerId: Id,
  cwd: z.string().min(1).max(limits.pathChars),
  agent: AgentLaunch,
  prompt: z.string().max(limits.promptChars).optional(),
  sessionName: z.string().trim().max(limits.titleChars).optional(),
});
export type NewSession = z.infer<typeof NewSession>;

export interface StartedSession {
  sessionId: string;
  /** Of the command to the runner; its status tells whether the runner took it. */
  op: string;
  /** False: the command waits until the runner connects. */
  runnerConnected: boolean;
}

/** The user's session. Throws `not_found`, for another user's session too. */
export async function requireSession(
  ctx: GatewayContext,
  principal: Principal,
  sessionId: string,
): Promise<SessionInfo> {
  const session = await ctx.store.sessions.info(principal.userId, sessionId);
  if (session === null) throw new GatewayError("not_found", `there is no session "${sessionId}"`, "sessionId");
  return session;
}

/** The user's runner. Throws `not_found`, for another user's runner too. */
export async function requireRunner(ctx: GatewayContext, principal: Principal, runnerId: string): Promise<RunnerInfo> {
  const runner = await ctx.store.runners.info(principal.userId, runnerId);
  if (runner === null) throw new GatewayError("not_found", `there is no runner "${runnerId}"`, "runnerId");
  return runner;
}

/** Makes a session's row and asks its runner to start it. Throws GatewayError. */
export async function startSession(
  ctx: GatewayContext,
  principal: Principal,
  { runnerId, cwd, agent, prompt, sessionName }: NewSession,
): Promise<StartedSession> {
  const runner = await requireRunner(ctx, principal, runnerId);
  const sessionId = crypto.randomUUID();
  const op = crypto.randomUUID();
  const { userId } = principal;
  const named = namedAgent(runner, agent);
  await ctx.quotas.checkRoom("session", userId, sessionId);
  await ctx.store.sessions.create(userId, { sessionId, cwd, runnerId, agent: named, sessionName: sessionName || null });
  try {
    await commandRunner(ctx, principal, runnerId, op, {
      kind: "new_session",
      sessionId,
      cwd,
      agent,
      ...(prompt ? { prompt } : {}),
      ...(sessionName ? { sessionName } : {}),
    });
  } catch (error) {
    await ctx.store.sessions.delete(userId, sessionId);
    throw error;
  }
  ctx.hints.sessionStatus(userId, sessionId);
  ctx.hints.runner(userId, runnerId);
  return { sessionId, op, runnerConnected: runner.isConnected };
}

/** Asks the session's runner to stop its agent; the timeline stays. Throws GatewayError. */
export async function killSession(
  ctx: GatewayContext,
  principal: Principal,
  sessionId: string,
  op: string,
): Promise<CommandStatus> {
  const session = await requireSession(ctx, principal, sessionId);
  return await commandRunnerOf(ctx, principal, session, op, "kill_session");
}

/** Asks the session's runner to start its agent again. Throws `conflict` when it still runs or cannot be resumed. */
export async function resumeSession(
  ctx: GatewayContext,
  principal: Principal,
  sessionId: string,
  op: string,
): Promise<CommandStatus> {
  const session = await requireSession(ctx, principal, sessionId);
  if (session.ended === null) {
    throw new GatewayError("conflict", "the session has not ended; there is nothing to resume");
  }
  if (!session.isResumable) {
    throw new GatewayError(
      "conflict",
      `${session.agent.name} cannot load an earlier conversation; start a new session`,
    );
  }
  return await commandRunnerOf(ctx, principal, session, op, "resume_session");
}

/** Deletes a session and its timeline, tells its viewers, and has its runner stop and remove it. Throws `not_found`. */
export async function deleteSession(ctx: GatewayContext, principal: Principal, sessionId: string): Promise<void> {
  const session = await requireSession(ctx, principal, sessionId);
  const { mesh, store, log } = ctx;
  const isolateId = await store.log.producerIsolate(sessionId);
  if (!await store.sessions.delete(principal.userId, sessionId)) {
    throw new GatewayError("not_found", `there is no session "${sessionId}"`, "sessionId");
  }
  await ctx.tunnels.closeAll(principal.userId, (tunnel) => tunnel.sessionId === sessionId);
  mesh.publish(`session:${sessionId}`, { type: "deleted" } satisfies SessionTopicMessage);
  ctx.hints.sessionStatus(principal.userId, sessionId);
  try {
    if (isolateId !== null) await callIsolate(mesh, isolateId, "session_deleted", { sessionId });
    if (session.runnerId !== null) await forgetOnRunner(ctx, session.runnerId, sessionId);
  } catch (error) {
    // The session is gone all the same: its host is refused and its runner told at their next registration.
    log.info("delete_not_delivered", { sessionId, error: errorText(error) });
  }
  if (session.runnerId !== null) ctx.hints.runner(principal.userId, session.runnerId);
}

/** Takes back what waits for the runner about a deleted session, and has the runner remove what it keeps of it if it is connected. */
async function forgetOnRunner({ mesh, store }: GatewayContext, runnerId: string, sessionId: string): Promise<void> {
  await store.inbox.withdraw(`runner:${runnerId}`, sessionId);
  const isolateId = await store.runners.isolateOf(runnerId);
  if (isolateId !== null) await callIsolate(mesh, isolateId, "runner_session_deleted", { runnerId, sessionId });
}

/** Status of a command to the session's host, or to its runner. Throws `not_found`. */
export async function commandStatus(
  ctx: GatewayContext,
  principal: Principal,
  sessionId: string,
  op: string,
): Promise<CommandStatus> {
  const { runnerId } = await requireSession(ctx, principal, sessionId);
  const status = await ctx.store.inbox.status(`session:${sessionId}`, op) ??
    (runnerId === null ? null : await ctx.store.inbox.status(`runner:${runnerId}`, op));
  if (status === null) throw new GatewayError("not_found", `this session has no command "${op}"`, "op");
  if (status.status === "accepted") {
    for (
      const target of [`session:${sessionId}`, ...(runnerId === null ? [] : [`runner:${runnerId}`])] as InboxTarget[]
    ) {
      redeliver(ctx, target, (await ctx.store.inbox.pending(target)).filter((command) => command.op === op));
    }
  }
  return status;
}

async function commandRunnerOf(
  ctx: GatewayContext,
  principal: Principal,
  session: SessionInfo,
  op: string,
  kind: "kill_session" | "resume_session",
): Promise<CommandStatus> {
  const { sessionId, runnerId } = session;
  if (runnerId === null || await ctx.store.runners.info(principal.userId, runnerId) === null) {
    throw new GatewayError("conflict", "the runner of this session is not known to this hub any more");
  }
  return await commandRunner(ctx, principal, runnerId, op, { kind, sessionId });
}

function namedAgent(runner: RunnerInfo, agent: NewSession["agent"]): SessionInfo["agent"] {
  if (agent.agentId === "custom" || agent.agentId === terminalAgentId) {
    const program = agent.command?.[0];
    if (program === undefined) {
      const whose = agent.agentId === "custom" ? "a custom agent" : "a session in a terminal";
      throw new GatewayError("invalid_message", `${whose} needs its command line`, "agent.command");
    }
    return { id: agent.agentId, name: program.split("/").at(-1)!.slice(0, limits.titleChars) || agent.agentId };
  }
  if (agent.command !== undefined) {
    throw new GatewayError(
      "invalid_message",
      'only the agents "custom" and "terminal" take a command',
      "agent.command",
    );
  }
  const known = runner.agents.find(({ id }) => id === agent.agentId);
  if (known === undefined) {
    throw new GatewayError(
      "invalid_message",
      `runner "${runner.name}" has no agent "${agent.agentId}"; it has ${runner.agents.map(({ id }) => id).join(", ")}`,
      "agent.agentId",
    );
  }
  return { id: known.id, name: known.name, ...(known.isDemo ? { isDemo: true } : {}) };
}
