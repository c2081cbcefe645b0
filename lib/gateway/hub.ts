/** `/ws/hub`: the live list of a user's sessions. */
import { hubClient, type SessionInfo } from "@/protocol/mod.ts";
import { acceptList } from "./list_feed.ts";

/** Serves one session list on an open socket. */
export const acceptHub = acceptList<SessionInfo>({
  namespace: "hub",
  schemas: hubClient,
  hinted: (message) => message.type === "session_changed" ? message.sessionId : null,
  passedOn: (message) => message.type === "tunnels_changed" ? message : null,
  idOf: (session) => session.sessionId,
  readAll: (ctx, userId) => ctx.store.sessions.list(userId),
  readOne: (ctx, userId, sessionId) => ctx.store.sessions.info(userId, sessionId),
  all: (sessions) => ({ type: "sessions", sessions }),
  added: (session) => ({ type: "session_added", session }),
  changed: (session) => ({ type: "session_status", session }),
  removed: (sessionId) => ({ type: "session_removed", sessionId }),
});
