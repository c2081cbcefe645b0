import { define } from "@/utils.ts";

export const handler = define.handlers({
  async GET({ state: { hub } }) {
    const readiness = await hub.readiness();
    return Response.json(readiness, {
      status: readiness.status === "ready" ? 200 : 503,
      headers: { "cache-control": "no-store" },
    });
  },
});
