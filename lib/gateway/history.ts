/** Pages of a session's timeline from wherever they are: the hub's store, or, below what it still holds, the runner's journal. */
import { type Entry, HistoryPage, type SessionInfo } from "@/protocol/mod.ts";
import { errorText } from "@/lib/log.ts";
import { callIsolate, type GatewayContext, GatewayError } from "./context.ts";
import { type Reply, REQUEST_TIMEOUT_MS, unavailable } from "./questions.ts";

export interface LoadedPage {
  /** Ascending by index; they end right before `before`. */
  entries: Entry[];
  /** The request's. */
  before: number;
  /** Whether there are entries before these, on the hub or on the runner. */
  hasMore: boolean;
  /** Lowest index that the hub still holds. */
  oldestIndex: number;
}

/**
 * The page of entries before `before`. Throws `unavailable` when they are on the runner alone and it is offline or does not answer.
 * The caller has checked that the session is the user's.
 */
export async function loadPage(
  ctx: GatewayContext,
  session: Pick<SessionInfo, "sessionId" | "runnerId" | "runnerName">,
  before: number,
  limit: number,
): Promise<LoadedPage> {
  const page = await ctx.store.log.page(session.sessionId, before, limit);
  const { oldestIndex } = page;
  const first = page.entries[0];
  if (first !== undefined) return { entries: page.entries, before, hasMore: first.index > 0, oldestIndex };
  const below = Math.min(before, oldestIndex);
  if (below === 0) return { entries: [], before, hasMore: false, oldestIndex };
  const { entries, hasMore } = await askForHistory(ctx, session, below, limit);
  return { entries, before, hasMore, oldestIndex };
}

async function askForHistory(
  ctx: GatewayContext,
  session: Pick<SessionInfo, "sessionId" | "runnerId" | "runnerName">,
  before: number,
  limit: number,
): Promise<Pick<HistoryPage, "entries" | "hasMore">> {
  const { sessionId } = session;
  const reply = await ask(ctx, session, before, limit);
  const runner = session.runnerName === null ? "the runner" : `the runner "${session.runnerName}"`;
  if (!reply.ok) throw new GatewayError("unavailable", `older entries are on ${runner} (${reply.message})`);
  const page = HistoryPage.safeParse(reply.answer);
  const problem = !page.success || page.data.sessionId !== sessionId
    ? "not a page"
    : page.data.error ?? misfit(page.data, before);
  if (problem !== null || !page.success) {
    throw new GatewayError("unavailable", `older entries are on ${runner}, which cannot give them: ${problem}`);
  }
  ctx.counters.add("history_pages", "");
  return page.data;
}

/** The host first: it has the journal open. Without one, the daemon reads the journal of a session that ended. */
async function ask(
  ctx: GatewayContext,
  { sessionId, runnerId }: Pick<SessionInfo, "sessionId" | "runnerId">,
  before: number,
  limit: number,
): Promise<Reply> {
  const { mesh, store, log } = ctx;
  const timeoutMs = REQUEST_TIMEOUT_MS + 1_000;
  let reply = unavailable("offline");
  try {
    const holder = await store.log.producerIsolate(sessionId);
    if (holder !== null) {
      reply = await callIsolate(mesh, holder, "session_history", { sessionId, before, limit }, { timeoutMs });
      if (reply.ok) return reply;
    }
    const isolateId = runnerId === null ? null : await store.runners.isolateOf(runnerId);
    if (runnerId === null || isolateId === null) return reply;
    const message = { type: "load_history", sessionId, before, limit } as const;
    return await callIsolate(mesh, isolateId, "runner_request", { runnerId, message }, { timeoutMs });
  } catch (error) {
    log.debug("history_failed", { sessionId, error: errorText(error) });
    return unavailable("cannot be reached now");
  }
}

/** What is wrong with a runner's page, or null: it must end right before `before` and have no holes. */
function misfit({ entries, hasMore }: HistoryPage, before: number): string | null {
  if (entries.length === 0 && hasMore) return "an empty page that is not the last";
  const isContiguous = entries.every(({ index }, at) => index === before - entries.length + at);
  return isContiguous ? null : `a page that does not end before entry ${before}`;
}
