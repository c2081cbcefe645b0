/** An error that the caller of a route is told: `{error: {code, message, field?}}` with `status`. */
export class AuthError extends Error {
  override name = "AuthError";
  /** HTTP status of the answer. */
  readonly status: number;
  /** Stable name for programs; the message is for people. */
  readonly code: string;
  /** The field of the request that was wrong. */
  readonly field?: string;
  /** For 429: when to try again. */
  readonly retryAfterMs?: number;

  constructor(
    status: number,
    code: string,
    message: string,
    details: { field?: string; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.field = details.field;
    this.retryAfterMs = details.retryAfterMs;
  }
}
