/** Commands from people to session hosts and runners: stored, delivered, settled by a receipt (design §5). */
import {
  type CommandResult,
  type CommandStatus,
  type DeliveredCommand,
  limits,
  type RunnerCommand,
  type SessionCommand,
} from "@/protocol/mod.ts";
import { errorText } from "@/lib/log.ts";
import type { Principal } from "@/lib/principal.ts";
import { InboxTargetError } from "@/lib/session/errors.ts";
import { InboxFullError, type InboxTarget } from "@/lib/session/types.ts";
import { callIsolate, type GatewayContext, GatewayError } from "./context.ts";
import type { SessionTopicMessage } from "./topics.ts";

/** Stores a command for a session's host and hands it over when the host is connected. Throws GatewayError. */
export async function commandSession(
  ctx: GatewayContext,
  principal: Principal,
  sessionId: string,
  op: string,
  command: SessionCommand,
): Promise<CommandStatus> {
  ctx.quotas.takeCommand(principal.userId);
  if (await ctx.store.sessions.info(principal.userId, sessionId) === null) {
    throw new GatewayError("not_found", `there is no session "${sessionId}"`, "sessionId");
  }
  const delivered = newDelivery(principal, op, command, sessionId);
  const status = await store(ctx, principal, `session:${sessionId}`, delivered);
  publishStatus(ctx, sessionId, status);
  return status;
}

/** Stores a command for a runner and hands it over when it is connected. Throws GatewayError. */
export async function commandRunner(
  ctx: GatewayContext,
  principal: Principal,
  runnerId: string,
  op: string,
  command: RunnerCommand,
): Promise<CommandStatus> {
  ctx.quotas.takeCommand(principal.userId);
  if (await ctx.store.runners.info(principal.userId, runnerId) === null) {
    throw new GatewayError("not_found", `there is no runner "${runnerId}"`, "runnerId");
  }
  const status = await store(ctx, principal, `runner:${runnerId}`, newDelivery(principal, op, command));
  publishStatus(ctx, command.sessionId, status);
  return status;
}

/** Settles a command by the receipt of whoever carried it out, and tells the session's viewers. A repeated receipt changes nothing. */
export async function settleCommand(
  ctx: GatewayContext,
  target: InboxTarget,
  userId: string,
  result: CommandResult,
): Promise<void> {
  const waiting = await ctx.store.inbox.status(target, result.op);
  const status = await ctx.store.inbox.settle(target, result.op, result.status, result.reason);
  if (status === null) return;
  ctx.counters.add("commands_settled", result.status);
  if (target.startsWith("session:")) {
    publishStatus(ctx, target.slice("session:".length), status);
    return;
  }
  const command = status.command ?? waiting?.command;
  if (command === undefined || !("sessionId" in command)) return;
  const { sessionId } = command;
  if (result.status === "rejected" && command.kind !== "kill_session") {
    await ctx.store.log.end(userId, sessionId, { reason: "failed", detail: result.reason, at: Date.now() });
    ctx.hints.sessionStatus(userId, sessionId);
  }
  publishStatus(ctx, sessionId, status);
}

/** Hands a stored command to its target on this isolate. False: it is not connected here. */
export function deliverHere(ctx: GatewayContext, target: string, command: DeliveredCommand): boolean {
  const [kind, id] = splitTarget(target);
  const holder = kind === "session" ? ctx.liveSessions.get(id) : ctx.liveRunners.get(id);
  return holder?.deliver(command) ?? false;
}

async function store(
  ctx: GatewayContext,
  principal: Principal,
  target: InboxTarget,
  command: DeliveredCommand,
): Promise<CommandStatus> {
  let status: CommandStatus;
  try {
    status = await ctx.store.inbox.put(target, principal.userId, command);
  } catch (error) {
    // Deleted since it was looked up.
    if (error instanceof InboxTargetError) throw new GatewayError("not_found", error.message);
    if (!(error instanceof InboxFullError)) throw error;
    throw new GatewayError("rate_limited", `${limits.inboxCommands} commands wait already; cancel some or wait`);
  }
  if (status.status !== "accepted") return status;
  ctx.counters.add("commands_accepted", "");
  // Not awaited: the command is stored, and whoever registers later is given what waits.
  redeliver(ctx, target, [command]);
  return status;
}

/**
 * Hands commands that wait to their target once more, if it is connected. The isolate that stored one may have died before
 * it delivered it. Whoever looks at the target asks for this at once; what nobody looks at is found by Redelivery.
 */
export function redeliver(ctx: GatewayContext, target: InboxTarget, commands: readonly DeliveredCommand[]): void {
  for (const command of commands) {
    deliver(ctx, target, command).catch((error) =>
      ctx.log.debug("deliver_failed", { target, op: command.op, error: errorText(error) })
    );
  }
}

async function deliver(ctx: GatewayContext, target: InboxTarget, command: DeliveredCommand): Promise<void> {
  const [kind, id] = splitTarget(target);
  const isolateId = kind === "session"
    ? await ctx.store.log.producerIsolate(id)
    : await ctx.store.runners.isolateOf(id);
  if (isolateId === ctx.mesh.isolateId) deliverHere(ctx, target, command);
  else if (isolateId !== null) await callIsolate(ctx.mesh, isolateId, "deliver", { target, command });
}

function newDelivery(
  principal: Principal,
  op: string,
  command: SessionCommand | RunnerCommand,
  sessionId?: string,
): DeliveredCommand {
  const at = Date.now();
  return {
    type: "command",
    op,
    ...(sessionId === undefined ? {} : { sessionId }),
    command,
    from: principal.userName.slice(0, 256),
    at,
    expiresAt: at + limits.commandTtlMs,
  };
}

function publishStatus(ctx: GatewayContext, sessionId: string, status: CommandStatus): void {
  const message: SessionTopicMessage = { type: "command_status", status: { ...status, sessionId } };
  ctx.mesh.publish(`session:${sessionId}`, message);
}

function splitTarget(target: string): ["session" | "runner", string] {
  const at = target.indexOf(":");
  return [target.slice(0, at) as "session" | "runner", target.slice(at + 1)];
}
