import { answerApi, readParam, readQuery } from "@/lib/hub_http.ts";
import { FolderQuestion, listFolder } from "@/lib/hub_runners.ts";
import { Id } from "@/protocol/mod.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  /** `?path=&prefix=&directoriesOnly=1` → `{path, entries: FileEntry[], isTruncated}`. An empty path lists the roots. */
  GET: (ctx) =>
    answerApi(ctx, async ({ ctx, principal, params, url }) => ({
      body: await listFolder(ctx, principal, readParam(params, "id", Id), readQuery(url, FolderQuestion)),
    })),
});
