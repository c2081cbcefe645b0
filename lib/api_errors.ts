/** The API answers in JSON, also where a page of the app would have answered for it. */

/**
 * The response to a request of `/api/`: as it is, or, where it is an error page, its JSON (`{error: {code, message}}`): 405
 * `method_not_allowed`, and 500 `internal` for a route that threw.
 */
export function asApiError(req: Request, pathname: string, response: Response): Response {
  const isPage = response.headers.get("content-type")?.startsWith("text/html") ?? false;
  if (!pathname.startsWith("/api/") || !isPage) return response;
  const known = response.status === 405
    ? {
      code: "method_not_allowed",
      message: `${req.method} is not what this path of the API is for; see its Allow header`,
    }
    : response.status >= 500
    ? { code: "internal", message: "something failed on the hub; its log says what, under this answer's x-request-id" }
    : null;
  if (known === null) return response;
  void response.body?.cancel();
  return Response.json({ error: known }, { status: response.status });
}
