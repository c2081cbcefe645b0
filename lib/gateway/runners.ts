/** `/ws/runners`: the live list of a user's runners. */
import { type RunnerInfo, runnersClient } from "@/protocol/mod.ts";
import { acceptList } from "./list_feed.ts";

/** Serves one runner list on an open socket. */
export const acceptRunners = acceptList<RunnerInfo>({
  namespace: "runners",
  schemas: runnersClient,
  hinted: (message) => message.type === "runner_changed" ? message.runnerId : null,
  idOf: (runner) => runner.runnerId,
  readAll: (ctx, userId) => ctx.store.runners.list(userId),
  readOne: (ctx, userId, runnerId) => ctx.store.runners.info(userId, runnerId),
  all: (runners) => ({ type: "runners", runners }),
  added: (runner) => ({ type: "runner_added", runner }),
  changed: (runner) => ({ type: "runner_updated", runner }),
  removed: (runnerId) => ({ type: "runner_removed", runnerId }),
});
