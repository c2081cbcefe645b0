import * as z from "zod";
import { answerApi, readParam, readQuery } from "@/lib/hub_http.ts";
import { requireSession } from "@/lib/hub_sessions.ts";
import { Id, limits } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Query = z.object({
  before: z.coerce.number().int().nonnegative().default(Number.MAX_SAFE_INTEGER),
  limit: z.coerce.number().int().min(1).max(limits.pageEntries).default(limits.pageEntries),
});

export const handler = define.handlers({
  /** `?before=<index>&limit=` → `{entries, hasMore, oldestIndex}`: committed entries below `before` (default: the newest). */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, url }) => {
      const { sessionId } = await requireSession(ctx, principal, readParam(params, "id", Id));
      const { before, limit } = readQuery(url, Query);
      return { body: await ctx.store.log.page(sessionId, before, limit) };
    }),
});
