import { METRICS_CONTENT_TYPE } from "@/lib/metrics_text.ts";
import { mayReadMetrics } from "@/lib/metrics_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({
  async GET({ req, state: { hub, principal } }) {
    if (!mayReadMetrics(req, principal, hub.config.metricsToken)) {
      const message =
        "send the metrics token (PERCH_METRICS_TOKEN), or an API key when there is none, as a Bearer token";
      return Response.json({ error: { code: "unauthorized", message } }, {
        status: 401,
        headers: { "www-authenticate": "Bearer" },
      });
    }
    return new Response(await hub.metrics.page(), {
      headers: { "content-type": METRICS_CONTENT_TYPE, "cache-control": "no-store" },
    });
  },
});
