import { answerApi, readBody } from "@/lib/hub_http.ts";
import { shareTunnel } from "@/lib/tunnel/manage.ts";
import { NewShare } from "@/protocol/tunnel.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** NewShare → 201 `{share: ShareInfo, url}`. The URL is told this once. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => ({
      status: 201,
      body: await shareTunnel(
        ctx,
        principal,
        params.id!,
        await readBody(req, NewShare),
        req.headers.get("host") ?? "",
      ),
    })),
});
