/** What people ask of runners besides sessions: their folders, their agents, to be forgotten. REST routes call it. */
import * as z from "zod";
import { AgentInfo, FileResult, limits } from "@/protocol/mod.ts";
import { callIsolate, type GatewayContext, GatewayError } from "@/lib/gateway/context.ts";
import { REQUEST_TIMEOUT_MS } from "@/lib/gateway/questions.ts";
import type { RunnerQuestion } from "@/lib/gateway/topics.ts";
import { requireRunner } from "@/lib/hub_sessions.ts";
import { errorText } from "@/lib/log.ts";
import { MeshError } from "@/lib/mesh/types.ts";
import type { Principal } from "@/lib/principal.ts";

/** What the folder picker asks. */
export const FolderQuestion = z.object({
  /** An absolute path; empty for the runner's roots. */
  path: z.string().max(limits.pathChars).default(""),
  prefix: z.string().max(1_024).optional(),
  directoriesOnly: z.enum(["0", "1", "true", "false"]).optional().transform((flag) => flag === "1" || flag === "true"),
});

/** Lists a folder of a runner. Throws GatewayError: `not_found`, `unavailable` (offline, no answer), `conflict` (the runner refused). */
export async function listFolder(
  ctx: GatewayContext,
  principal: Principal,
  runnerId: string,
  { path, prefix, directoriesOnly }: z.infer<typeof FolderQuestion>,
): Promise<Pick<z.infer<typeof FileResult>, "path" | "entries" | "isTruncated">> {
  const question: RunnerQuestion = {
    type: "list_files",
    path,
    ...(prefix ? { prefix } : {}),
    ...(directoriesOnly ? { directoriesOnly } : {}),
  };
  const result = FileResult.parse(await askRunner(ctx, principal, runnerId, question));
  if (!result.ok) throw new GatewayError("conflict", result.error ?? "the runner cannot list this folder", "path");
  return { path: result.path, entries: result.entries ?? [], isTruncated: result.isTruncated ?? false };
}

/** Has a runner look again which agents it can start. Throws GatewayError. */
export async function refreshAgents(
  ctx: GatewayContext,
  principal: Principal,
  runnerId: string,
): Promise<z.infer<typeof AgentInfo>[]> {
  const answer = await askRunner(ctx, principal, runnerId, { type: "list_agents" });
  return z.object({ agents: z.array(AgentInfo) }).parse(answer).agents;
}

/** Forgets a runner: its socket is closed, its sessions stay. Throws `not_found`. */
export async function deleteRunner(ctx: GatewayContext, principal: Principal, runnerId: string): Promise<void> {
  const { mesh, store, log } = ctx;
  await requireRunner(ctx, principal, runnerId);
  const isolateId = await store.runners.isolateOf(runnerId);
  const linkIsolateId = await ctx.links.holderOf(runnerId);
  if (!await store.runners.delete(principal.userId, runnerId)) {
    throw new GatewayError("not_found", `there is no runner "${runnerId}"`, "runnerId");
  }
  ctx.hints.runner(principal.userId, runnerId);
  if (linkIsolateId !== null) {
    await ctx.links.expire(runnerId, linkIsolateId)
      .catch((error) => log.info("link_expiry_not_delivered", { runnerId, error: errorText(error) }));
  }
  await ctx.tunnels.closeAll(principal.userId, (tunnel) => tunnel.runnerId === runnerId);
  if (isolateId === null) return;
  await callIsolate(mesh, isolateId, "runner_deleted", { runnerId })
    .catch((error) => log.info("delete_not_delivered", { runnerId, error: errorText(error) }));
}

/** Asks a runner something. Throws GatewayError: `not_found`, `unavailable` (offline, no answer). */
export async function askRunner(
  ctx: GatewayContext,
  principal: Principal,
  runnerId: string,
  message: RunnerQuestion,
): Promise<unknown> {
  const runner = await requireRunner(ctx, principal, runnerId);
  const isolateId = await ctx.store.runners.isolateOf(runnerId);
  if (isolateId === null) {
    throw new GatewayError("unavailable", `runner "${runner.name}" is offline; start it with "perch runner"`);
  }
  try {
    const reply = await callIsolate(ctx.mesh, isolateId, "runner_request", { runnerId, message }, {
      timeoutMs: REQUEST_TIMEOUT_MS + 1_000,
    });
    if (!reply.ok) throw new GatewayError(reply.code, `runner "${runner.name}": ${reply.message}`);
    return reply.answer;
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    throw new GatewayError("unavailable", `runner "${runner.name}" cannot be reached now; try again`);
  }
}
