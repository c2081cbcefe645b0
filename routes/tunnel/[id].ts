import { HttpError } from "fresh";
import { GatewayError } from "@/lib/gateway/context.ts";
import { personOnly } from "@/lib/page_access.ts";
import { enterTunnel } from "@/lib/tunnel/manage.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** ?next → leads the owner's browser into a tunnel, to the path `next`: to the sign-in page first where that is needed. */
  GET: async (ctx) => {
    const person = await personOnly(ctx);
    const { hub, principal } = ctx.state;
    if (person instanceof Response) return person;
    if (principal === null) throw new HttpError(401);
    try {
      const host = ctx.req.headers.get("host") ?? "";
      const next = ctx.url.searchParams.get("next") ?? undefined;
      return ctx.redirect(await enterTunnel(hub.gateways.context, principal, ctx.params.id!, host, next), 303);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      throw new HttpError(error.code === "not_found" ? 404 : 409, error.message);
    }
  },
});
