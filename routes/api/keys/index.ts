import { createKey, listKeys } from "@/lib/auth/http.ts";
import { authCall } from "@/lib/auth/route.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  GET: (ctx) => listKeys(authCall(ctx)),
  POST: (ctx) => createKey(authCall(ctx)),
});
