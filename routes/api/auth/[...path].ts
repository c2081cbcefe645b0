import { authEndpoint } from "@/lib/auth/http.ts";
import { authCall } from "@/lib/auth/route.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  GET: (ctx) => authEndpoint(authCall(ctx), ctx.params.path ?? ""),
  POST: (ctx) => authEndpoint(authCall(ctx), ctx.params.path ?? ""),
});
