import { answerApi } from "@/lib/hub_http.ts";
import { unshareTunnel } from "@/lib/tunnel/manage.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → 204. Whoever came through the link is cut. */
  DELETE: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: await unshareTunnel(ctx, principal, params.id!, params.share!),
    })),
});
