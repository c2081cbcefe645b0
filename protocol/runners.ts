/** `/ws/runners`: the live list of a user's runners. A full list on connect, then changes. */
import * as z from "zod/mini";
import { ErrorMessage, GoingAway, Id, Ping, Pong, RunnerInfo } from "./shared.ts";

export const runnersClient = { ping: Ping, pong: Pong } as const;

export const runnersServer = {
  runners: z.object({ type: z.literal("runners"), runners: z.array(RunnerInfo) }),
  runner_added: z.object({ type: z.literal("runner_added"), runner: RunnerInfo }),
  runner_removed: z.object({ type: z.literal("runner_removed"), runnerId: Id }),
  runner_updated: z.object({ type: z.literal("runner_updated"), runner: RunnerInfo }),
  going_away: GoingAway,
  error: ErrorMessage,
  ping: Ping,
  pong: Pong,
} as const;
