import * as z from "zod";
import { answerApi, readBody, readQuery } from "@/lib/hub_http.ts";
import { makeTerminal, orderTerminal, TerminalToMake } from "@/lib/hub_terminals.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Query = z.object({ runnerId: Id });

export const handler = define.handlers({
  /** `?runnerId=` → `{terminals: TerminalInfo[]}`. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, url }) => {
      const { runnerId } = readQuery(url, Query);
      return { body: { terminals: await orderTerminal(ctx, principal, runnerId, { do: "list" }) } };
    }),
  /** `{runnerId, cwd, command?, cols?, rows?, sessionId?, name?}` → 201 `{terminal: TerminalInfo}`. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, req }) => ({
      status: 201,
      body: { terminal: await makeTerminal(ctx, principal, await readBody(req, TerminalToMake)) },
    })),
});
