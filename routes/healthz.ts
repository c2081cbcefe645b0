import { define } from "@/utils.ts";

export const handler = define.handlers({
  async GET({ state: { hub } }) {
    const health = await hub.health();
    return Response.json(health, {
      status: health.status === "ok" ? 200 : 503,
      headers: { "cache-control": "no-store" },
    });
  },
});
