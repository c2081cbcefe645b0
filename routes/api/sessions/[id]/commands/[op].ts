import { commandStatus } from "@/lib/hub_sessions.ts";
import { answerApi, readParam } from "@/lib/hub_http.ts";
import { Id, Op } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** → `CommandStatus` of a command to the session's host, or to its runner about the session. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: await commandStatus(ctx, principal, readParam(params, "id", Id), readParam(params, "op", Op)),
    })),
});
