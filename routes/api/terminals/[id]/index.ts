import * as z from "zod";
import { answerApi, readParam, readQuery } from "@/lib/hub_http.ts";
import { orderTerminal } from "@/lib/hub_terminals.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Query = z.object({ runnerId: Id });

export const handler = define.handlers({
  /** `?runnerId=` → 204. Ends its program and closes it. */
  DELETE: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, url }) => {
      const terminalId = readParam(params, "id", Id);
      const { runnerId } = readQuery(url, Query);
      await orderTerminal(ctx, principal, runnerId, { do: "close", terminalId });
      return { body: undefined };
    }),
});
