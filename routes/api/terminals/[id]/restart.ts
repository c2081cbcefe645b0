import * as z from "zod";
import { answerApi, readBody, readParam } from "@/lib/hub_http.ts";
import { orderTerminal } from "@/lib/hub_terminals.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Body = z.object({ runnerId: Id });

export const handler = define.handlers({
  /** `{runnerId}` → 202. Starts its program anew, ending the one that runs; who looks at it sees the new one. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, req }) => {
      const terminalId = readParam(params, "id", Id);
      const { runnerId } = await readBody(req, Body);
      await orderTerminal(ctx, principal, runnerId, { do: "restart", terminalId });
      return { status: 202, body: {} };
    }),
});
