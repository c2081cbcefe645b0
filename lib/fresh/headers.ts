import { copyNonce } from "./context.ts";

/** Changes the headers of `response`: in place, or on a copy when they are immutable, as on responses of `fetch`. */
export function withHeaders(response: Response, change: (headers: Headers) => void): Response {
  // An upgrade has no page to protect, and cannot be copied.
  if (response.status === 101) return response;
  try {
    change(response.headers);
    return response;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const copy = new Response(response.body, response);
    copyNonce(response, copy);
    change(copy.headers);
    return copy;
  }
}
