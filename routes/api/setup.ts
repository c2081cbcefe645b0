import { setUp } from "@/lib/auth/http.ts";
import { authCall } from "@/lib/auth/route.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  POST: (ctx) => setUp(authCall(ctx)),
});
