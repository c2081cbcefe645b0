/** Who may see a page: signed-in people; everybody else is led to where they can sign in or set up. */
import { type FreshContext, page, type PageResponse } from "fresh";
import { authCall } from "@/lib/auth/route.ts";
import type { State } from "@/lib/state.ts";

/** What a page for signed-in people knows of them. */
export interface Person {
  userName: string;
}

/**
 * The person whose browser asks, as the data of their page; renews their sign-in so that it does not age while they use
 * it. A redirect to the sign-in page (and back) when nobody is signed in, to the set-up page while there is no account.
 */
export async function personOnly(ctx: FreshContext<State>): Promise<Response | PageResponse<Person>> {
  const { auth, req } = authCall(ctx);
  const { current, headers } = await auth.getSession(req);
  if (current !== null) {
    headers.set("cache-control", "no-store");
    return page({ userName: current.name }, { headers });
  }
  const { needsSetup } = await auth.accounts.status();
  if (needsSetup) return ctx.redirect("/setup", 303);
  const { pathname, search } = ctx.url;
  const next = pathname + search;
  return ctx.redirect(next === "/" ? "/login" : `/login?${new URLSearchParams({ next })}`, 303);
}

/** For the sign-in pages: people who are signed in go on to their sessions. Null: show the page. */
export async function strangerOnly(ctx: FreshContext<State>): Promise<Response | PageResponse<undefined>> {
  const { current } = await authCall(ctx).auth.getSession(ctx.req);
  return current === null ? page() : ctx.redirect("/", 303);
}
