import * as z from "zod";
import { answerApi, readBody, readParam } from "@/lib/hub_http.ts";
import { resumeSession } from "@/lib/hub_sessions.ts";
import { Id, Op } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Body = z.object({ op: z.optional(Op) });

export const handler = define.handlers({
  /** `{op?}` → 202 `CommandStatus` of the command to the runner. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => {
      const sessionId = readParam(params, "id", Id);
      const { op = crypto.randomUUID() } = await readBody(req, Body);
      return { status: 202, body: await resumeSession(ctx, principal, sessionId, op) };
    }),
});
