import { createInvite, listInvites } from "@/lib/auth/http.ts";
import { authCall } from "@/lib/auth/route.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  GET: (ctx) => listInvites(authCall(ctx)),
  POST: (ctx) => createInvite(authCall(ctx)),
});
