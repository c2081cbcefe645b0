import * as z from "zod";
import { commandSession } from "@/lib/gateway/commands.ts";
import { answerApi, readBody, readParam } from "@/lib/hub_http.ts";
import { Id, Op, SessionCommand } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Body = z.object({ op: z.optional(Op), command: SessionCommand });

export const handler = define.handlers({
  /** `{op?, command: SessionCommand}` → 202 `CommandStatus`. The same op again answers with its status and does nothing. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => {
      const sessionId = readParam(params, "id", Id);
      const { op = crypto.randomUUID(), command } = await readBody(req, Body);
      return { status: 202, body: await commandSession(ctx, principal, sessionId, op, command) };
    }),
});
