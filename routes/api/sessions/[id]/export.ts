import * as z from "zod";
import { exportSession } from "@/lib/export.ts";
import { answerApi, readParam, readQuery } from "@/lib/hub_http.ts";
import { requireSession } from "@/lib/hub_sessions.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

const Query = z.object({ format: z.enum(["jsonl", "markdown"], { error: 'must be "jsonl" or "markdown"' }) });

export const handler = define.handlers({
  /** `?format=jsonl|markdown` → the session as a file, streamed (docs/retention.md). */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, url }) => {
      const session = await requireSession(ctx, principal, readParam(params, "id", Id));
      const { format } = readQuery(url, Query);
      return { body: await exportSession(ctx, session, format) };
    }),
});
