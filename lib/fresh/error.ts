const STATUS_TEXT: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/**
 * Ends a request with an HTTP status. Thrown from a middleware, handler or component it reaches the nearest
 * `onError`/`_error`, or `notFound` for 404. Without one, its message is the body that the client sees.
 */
export class HttpError extends Error {
  /** The HTTP status code of the response. */
  readonly status: number;

  constructor(status: number, message: string = STATUS_TEXT[status] ?? `HTTP ${status}`, options?: ErrorOptions) {
    super(message, options);
    this.name = "HttpError";
    this.status = status;
  }
}
