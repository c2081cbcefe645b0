/** What people do with terminals besides looking at them: make, list, restart, close. REST routes call it. */
import * as z from "zod";
import { Id } from "@/protocol/mod.ts";
import { NewTerminal, type TerminalInfo, type TerminalOrder, TerminalResult } from "@/protocol/terminal.ts";
import { type GatewayContext, GatewayError } from "@/lib/gateway/context.ts";
import { askRunner } from "@/lib/hub_runners.ts";
import { requireSession } from "@/lib/hub_sessions.ts";
import type { Principal } from "@/lib/principal.ts";

/** Body of `POST /api/terminals`. */
export const TerminalToMake = z.object({ ...NewTerminal.shape, runnerId: Id });

/**
 * Has a runner carry out an order about its terminals. Throws GatewayError: `not_found` (also for another user's runner),
 * `unavailable` (offline, no answer), `conflict` (it cannot be done; the message says why).
 */
export async function orderTerminal(
  ctx: GatewayContext,
  principal: Principal,
  runnerId: string,
  order: TerminalOrder,
): Promise<TerminalInfo[]> {
  const answer = await askRunner(ctx, principal, runnerId, { type: "terminal_request", order });
  const result = TerminalResult.parse(answer);
  if (!result.ok) throw new GatewayError(result.code ?? "conflict", result.error ?? "the runner cannot do this");
  return result.terminals ?? [];
}

/** Makes a terminal on a runner. Throws as orderTerminal. */
export async function makeTerminal(
  ctx: GatewayContext,
  principal: Principal,
  { runnerId, ...terminal }: z.infer<typeof TerminalToMake>,
): Promise<TerminalInfo> {
  if (terminal.sessionId !== undefined) await requireSession(ctx, principal, terminal.sessionId);
  const [made] = await orderTerminal(ctx, principal, runnerId, { do: "create", terminal });
  if (made === undefined) throw new GatewayError("unavailable", "the runner did not say what it made; try again");
  return made;
}
