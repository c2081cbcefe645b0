import { answerApi, readBody, readQuery } from "@/lib/hub_http.ts";
import { listTunnels, openTunnel, TunnelFilter, tunnelInfo } from "@/lib/tunnel/manage.ts";
import { NewTunnel } from "@/protocol/tunnel.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** ?sessionId ?runnerId → `{tunnels: TunnelInfo[]}`. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, req, url }) => ({
      body: { tunnels: await listTunnels(ctx, principal, readQuery(url, TunnelFilter), hostOf(req)) },
    })),
  /** NewTunnel → 201 `{tunnel: TunnelInfo}`. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, req }) => {
      const row = await openTunnel(ctx, principal, await readBody(req, NewTunnel));
      return { status: 201, body: { tunnel: await tunnelInfo(ctx, row, hostOf(req)) } };
    }),
});

function hostOf(req: Request): string {
  return req.headers.get("host") ?? "";
}
