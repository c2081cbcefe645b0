/** `/ws/hub`: the live list of a user's sessions. */
import { hubClient, type SessionInfo } from "@/protocol/mod.ts";
import { acceptList } from "./list_feed.ts";
import { sessionInfo, sessionInfos } from "./session_info.ts";

/** Serves one session list on an open socket. */
export const acceptHub = acceptList<SessionInfo>({
  namespace: "hub",
  schemas: hubClient,
  hinted: (message) => message.type === "session_changed" ? message.sessionId : null,
  idOf: (session) => session.sessionId,
  readAll: sessionInfos,
  readOne: sessionInfo,
  all: (sessions) => ({ type: "sessions", sessions }),
  added: (session) => ({ type: "session_added", session }),
  changed: (session) => ({ type: "session_status", session }),
  removed: (sessionId) => ({ type: "session_removed", sessionId }),
});
