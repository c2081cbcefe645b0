import { answerApi } from "@/lib/hub_http.ts";
import { tunnelLog } from "@/lib/tunnel/manage.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{entries: AccessEntry[]}`: the newest requests, newest first. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: { entries: await tunnelLog(ctx, principal, params.id!) },
    })),
});
