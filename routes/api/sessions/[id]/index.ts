import { answerApi, readParam } from "@/lib/hub_http.ts";
import { deleteSession, requireSession } from "@/lib/hub_sessions.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{session: SessionInfo}`. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: { session: await requireSession(ctx, principal, readParam(params, "id", Id)) },
    })),
  /** → 204. Ends it on its runner, too. */
  DELETE: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: await deleteSession(ctx, principal, readParam(params, "id", Id)),
    })),
});
