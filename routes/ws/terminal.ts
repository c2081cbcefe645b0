import { define } from "@/utils.ts";

export const handler = define.handlers({
  GET: ({ req, state: { hub, principal, requestId } }) => hub.gateways.upgrade("terminal", req, principal, requestId),
});
