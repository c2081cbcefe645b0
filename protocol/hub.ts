/** `/ws/hub`: the live list of a user's sessions. A full list on connect, then changes; and the hint that tunnels changed. */
import * as z from "zod/mini";
import { ErrorMessage, GoingAway, Id, Ping, Pong, SessionInfo } from "./shared.ts";

export const hubClient = { ping: Ping, pong: Pong } as const;

export const hubServer = {
  sessions: z.object({ type: z.literal("sessions"), sessions: z.array(SessionInfo) }),
  session_added: z.object({ type: z.literal("session_added"), session: SessionInfo }),
  session_removed: z.object({ type: z.literal("session_removed"), sessionId: Id }),
  session_status: z.object({ type: z.literal("session_status"), session: SessionInfo }),
  /** What `GET /api/tunnels` answers has changed. */
  tunnels_changed: z.object({ type: z.literal("tunnels_changed") }),
  going_away: GoingAway,
  error: ErrorMessage,
  ping: Ping,
  pong: Pong,
} as const;
