import { answerApi, readParam } from "@/lib/hub_http.ts";
import { deleteRunner } from "@/lib/hub_runners.ts";
import { requireRunner } from "@/lib/hub_sessions.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{runner: RunnerInfo}`. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: { runner: await requireRunner(ctx, principal, readParam(params, "id", Id)) },
    })),
  /** → 204. Its sessions stay. */
  DELETE: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: await deleteRunner(ctx, principal, readParam(params, "id", Id)),
    })),
});
