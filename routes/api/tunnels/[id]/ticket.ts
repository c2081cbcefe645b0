import { answerApi } from "@/lib/hub_http.ts";
import { enterTunnel } from "@/lib/tunnel/manage.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{url}`: lets this user's browser in, once, within a minute. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => ({
      body: { url: await enterTunnel(ctx, principal, params.id!, req.headers.get("host") ?? "") },
    })),
});
