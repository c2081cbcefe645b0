/**
 * Entries that the hub no longer holds (retention) and the runner's journal does: asked of the session's host on `/ws/relay`,
 * or of the runner's daemon on `/ws/runner` when no host is connected.
 */
import * as z from "zod/mini";
import { Entry } from "./entry.ts";
import { limits } from "./limits.ts";
import { Id } from "./shared.ts";

/** Asks for the page of entries before `before` (an entry index). Answered by `history_page`. */
export const LoadHistory = z.object({
  type: z.literal("load_history"),
  requestId: Id,
  sessionId: Id,
  before: z.int().check(z.nonnegative()),
  limit: z.int().check(z.gte(1), z.lte(limits.pageEntries)),
});
export type LoadHistory = z.infer<typeof LoadHistory>;

/**
 * Entries ascend by index without a hole and end right before `before`; each is as of its last record. The page ends at `limit`
 * or limits.pageBytes, whichever comes first, but holds at least one entry when there is one.
 */
export const HistoryPage = z.object({
  type: z.literal("history_page"),
  requestId: Id,
  sessionId: Id,
  entries: z.array(Entry).check(z.maxLength(limits.pageEntries)),
  hasMore: z.boolean(),
  /** Why there is no page, in a sentence for the person who asked. */
  error: z.optional(z.string().check(z.maxLength(2_000))),
});
export type HistoryPage = z.infer<typeof HistoryPage>;
