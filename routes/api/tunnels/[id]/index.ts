import { answerApi, readBody } from "@/lib/hub_http.ts";
import { closeTunnel, patchTunnel, requireTunnel, tunnelInfo, TunnelPatch } from "@/lib/tunnel/manage.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `{tunnel: TunnelInfo}`. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => {
      const row = await requireTunnel(ctx, principal, params.id!);
      return { body: { tunnel: await tunnelInfo(ctx, row, req.headers.get("host") ?? "") } };
    }),
  /** `{name?, bounds?}` → `{tunnel: TunnelInfo}`. */
  PATCH: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => {
      const row = await patchTunnel(ctx, principal, params.id!, await readBody(req, TunnelPatch));
      return { body: { tunnel: await tunnelInfo(ctx, row, req.headers.get("host") ?? "") } };
    }),
  /** → 204. What goes through it is cut. */
  DELETE: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({ body: await closeTunnel(ctx, principal, params.id!) })),
});
