import { HttpError } from "../error.ts";
import type { Context } from "../context.ts";
import type { MiddlewareFn } from "../types.ts";

/** Options of {@linkcode csrf}. */
export interface CsrfOptions<State> {
  /** Origins to trust in place of the app's own, or a function that decides. */
  origin?: string | string[] | ((origin: string, ctx: Context<State>) => boolean);
}

const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

/**
 * Refuses state-changing requests from other sites with 403. `Sec-Fetch-Site` decides where the browser sends it,
 * otherwise `Origin`; a request with neither is not a browser's and passes.
 */
export function csrf<State>(options: CsrfOptions<State> = {}): MiddlewareFn<State> {
  const trusts = (origin: string | null, ctx: Context<State>): boolean => {
    if (origin === null) return false;
    const trusted = options.origin ?? ctx.url.origin;
    if (typeof trusted === "function") return trusted(origin, ctx);
    return typeof trusted === "string" ? origin === trusted : trusted.includes(origin);
  };
  return async (ctx) => {
    const { method, headers } = ctx.req;
    if (SAFE_METHODS.includes(method)) return await ctx.next();
    const site = headers.get("sec-fetch-site");
    const origin = headers.get("origin");
    if (site === "same-origin" || site === "none" || trusts(origin, ctx)) return await ctx.next();
    if (site === null && origin === null) return await ctx.next();
    throw new HttpError(403);
  };
}
