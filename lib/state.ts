import type { Hub } from "@/lib/hub.ts";
import type { Principal } from "@/lib/principal.ts";

/** What middlewares pass to routes, as `ctx.state`. */
export interface State {
  hub: Hub;
  /** Null: nobody is signed in. */
  principal: Principal | null;
  /** What the log calls this request; also its x-request-id. */
  requestId?: string;
  /** Of this response's scripts and styles (CSP). */
  nonce?: string;
}
