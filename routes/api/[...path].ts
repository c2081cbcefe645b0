import { define } from "@/utils.ts";

/** Whatever the API does not have, as JSON like all its errors. */
export const handler = define.middleware(({ req, url }) => {
  const message = `${req.method} ${url.pathname.slice(0, 200)} is not part of the API; docs/protocol.md lists it`;
  return Response.json({ error: { code: "not_found", message } }, { status: 404 });
});
