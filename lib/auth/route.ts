/** What the thin route files need: the accounts behind a route's context. */
import type { Context } from "fresh";
import type { State } from "@/lib/state.ts";
import type { AuthCall } from "./http.ts";
import { forwardedFor } from "./forwarded.ts";
import { Auth } from "./mod.ts";

/** The call to the accounts that a request is. Throws when the hub was composed with other accounts (tests' fakes). */
export function authCall(ctx: Context<State>): AuthCall {
  const { auth } = ctx.state.hub;
  if (!(auth instanceof Auth)) throw new TypeError("These routes need the hub's auth to be what openAuth() returned");
  const { remoteAddr } = ctx.info;
  const peer = remoteAddr.transport === "tcp" ? remoteAddr.hostname : "local";
  const { isProxyTrusted = false } = ctx.state.hub.config;
  return { req: ctx.req, auth, peer: isProxyTrusted ? forwardedFor(ctx.req) ?? peer : peer };
}
