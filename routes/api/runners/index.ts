import { answerApi } from "@/lib/hub_http.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{runners: RunnerInfo[]}`. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal }) => ({
      body: { runners: await ctx.store.runners.list(principal.userId) },
    })),
});
