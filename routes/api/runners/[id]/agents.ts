import { answerApi, readParam } from "@/lib/hub_http.ts";
import { refreshAgents } from "@/lib/hub_runners.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** Has the runner look again → `{agents: AgentInfo[]}`. */
  POST: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params }) => ({
      body: { agents: await refreshAgents(ctx, principal, readParam(params, "id", Id)) },
    })),
});
