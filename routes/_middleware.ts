import { define } from "@/utils.ts";

/** Tells every route who asks. `ctx.state.hub` is set by main.ts before any route. */
export default define.middleware(async (ctx) => {
  ctx.state.principal = await ctx.state.hub.auth.authenticate(ctx.req);
  return await ctx.next();
});
