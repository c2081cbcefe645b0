/** What the hub keeps: decided from plain data, carried out by retention.ts. */
import { limits } from "@/protocol/mod.ts";
import { trimTo } from "@/lib/session/trim.ts";

/** Bounds of what the hub keeps of timelines. Infinity: no bound. What goes from the hub stays in the runner's journal. */
export interface RetentionLimits {
  /** Bytes of entries of one session. */
  sessionBytes: number;
  /** Bytes of entries of all sessions of one user. */
  userBytes: number;
  /** Of a session that was idle for longer only the newest page stays. */
  idleMs: number;
  /** A session without a connected host that was idle for longer goes from the hub altogether. */
  forgetMs: number;
}

const dayMs = 24 * 60 * 60 * 1000;

/** What an instance keeps when nobody says otherwise. */
export const defaultRetention: RetentionLimits = {
  sessionBytes: 64 * 1024 * 1024,
  userBytes: 1024 * 1024 * 1024,
  idleMs: 30 * dayMs,
  forgetMs: 365 * dayMs,
};

export interface SessionFacts {
  sessionId: string;
  /** JSON bytes of its stored entries. */
  bytes: number;
  /** When anything last happened in it, in ms. */
  idleSinceMs: number;
  /** No host is connected. */
  isQuiet: boolean;
}

export type RetentionAction =
  | { do: "forget"; sessionId: string }
  /** The oldest entries go until `toBytes`; `keeps`: "page" stops at the newest page. */
  | { do: "trim"; sessionId: string; toBytes: number; keeps: "page" | "nothing" };

/**
 * What has to go of one user's sessions: what is too old, then what is too large, then, least recently active sessions first, what
 * is over the user's bytes. A session keeps its newest page, so that opening it shows something at once, unless the pages of
 * quiet sessions alone are over the user's bytes.
 */
export function planRetention(
  sessions: readonly SessionFacts[],
  { sessionBytes, userBytes, idleMs, forgetMs }: RetentionLimits,
  nowMs: number,
): RetentionAction[] {
  const actions = new Map<string, RetentionAction>();
  const trim = (sessionId: string, toBytes: number, keeps: "page" | "nothing") =>
    actions.set(sessionId, { do: "trim", sessionId, toBytes, keeps });
  const kept: { facts: SessionFacts; bytes: number }[] = [];
  for (const facts of sessions) {
    const { sessionId, bytes, idleSinceMs, isQuiet } = facts;
    const idle = nowMs - idleSinceMs;
    if (isQuiet && idle > forgetMs) {
      actions.set(sessionId, { do: "forget", sessionId });
      continue;
    }
    let left = bytes;
    if (idle > idleMs) {
      left = Math.min(bytes, limits.pageBytes);
      if (bytes > 0) trim(sessionId, 0, "page");
    } else if (bytes > sessionBytes) {
      const toBytes = Math.floor(sessionBytes * trimTo);
      left = Math.max(toBytes, Math.min(bytes, limits.pageBytes));
      trim(sessionId, toBytes, "page");
    }
    kept.push({ facts, bytes: left });
  }
  let over = kept.reduce((sum, { bytes }) => sum + bytes, 0) - userBytes;
  if (over <= 0) return [...actions.values()];
  over += userBytes * (1 - trimTo);
  kept.sort((a, b) => a.facts.idleSinceMs - b.facts.idleSinceMs);
  for (const keeps of ["page", "nothing"] as const) {
    const atLeast = keeps === "page" ? limits.pageBytes : 0;
    for (const session of kept) {
      if (over <= 0) break;
      if (session.bytes <= atLeast || (keeps === "nothing" && !session.facts.isQuiet)) continue;
      const toBytes = Math.max(atLeast, Math.floor(session.bytes - over));
      over -= session.bytes - toBytes;
      session.bytes = toBytes;
      trim(session.facts.sessionId, toBytes, keeps);
    }
  }
  return [...actions.values()];
}
