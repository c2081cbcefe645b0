/** Errors of the session store besides those of types.ts. */

/** A record's seq was not the next one. Nothing of the call was written. */
export class LogGapError extends Error {
  override name = "LogGapError";
}
/** A record names an index that holds an entry with another id. Nothing of the call was written. */
export class IndexConflictError extends Error {
  override name = "IndexConflictError";
}
/** An entry's JSON is over limits.entryBytes. Nothing of the call was written. */
export class EntryTooLargeError extends Error {
  override name = "EntryTooLargeError";
}
/** More waits to be committed for this session than its bound. Nothing of the call was written. */
export class LogQueueFullError extends Error {
  override name = "LogQueueFullError";
}
/** There is no such session (any more). */
export class SessionNotFoundError extends Error {
  override name = "SessionNotFoundError";
  constructor(readonly sessionId: string) {
    super(`there is no session ${JSON.stringify(sessionId)}`);
  }
}
/** A session with this id exists already. */
export class SessionExistsError extends Error {
  override name = "SessionExistsError";
}
/** The session or runner of an inbox does not exist (any more). */
export class InboxTargetError extends Error {
  override name = "InboxTargetError";
}
