import { answerApi, readBody } from "@/lib/hub_http.ts";
import { NewSession, startSession } from "@/lib/hub_sessions.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{sessions: SessionInfo[]}`, newest activity first. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal }) => ({
      body: { sessions: await ctx.store.sessions.list(principal.userId) },
    })),
  /** `NewSession` → 202 `{sessionId, op, runnerConnected}`. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, req }) => ({
      status: 202,
      body: await startSession(ctx, principal, await readBody(req, NewSession)),
    })),
});
