import * as z from "zod";
import { loadPage } from "@/lib/gateway/history.ts";
import { answerApi, readParam, readQuery } from "@/lib/hub_http.ts";
import { requireSession } from "@/lib/hub_sessions.ts";
import { Id, limits } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Query = z.object({
  before: z.coerce.number().int().nonnegative().default(Number.MAX_SAFE_INTEGER),
  limit: z.coerce.number().int().min(1).max(limits.pageEntries).default(limits.pageEntries),
});

export const handler = define.handlers({
  /**
   * `?before=<index>&limit=` → `{entries, before, hasMore, oldestIndex}`: committed entries below `before` (default: the newest). Below
   * oldestIndex they come from the runner; 503 `unavailable` while it is offline.
   */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, url }) => {
      const session = await requireSession(ctx, principal, readParam(params, "id", Id));
      const { before, limit } = readQuery(url, Query);
      return { body: await loadPage(ctx, session, before, limit) };
    }),
});
