import type { Context } from "../context.ts";
import { withHeaders } from "../headers.ts";
import type { MiddlewareFn } from "../types.ts";

/** Options of {@linkcode cors}. */
export interface CORSOptions<State> {
  /** Allowed origins: one, several, "*" (default), or a function that gives the one to allow. */
  origin?: string | string[] | ((origin: string, ctx: Context<State>) => string | null | undefined);
  allowMethods?: string[];
  allowHeaders?: string[];
  exposeHeaders?: string[];
  /** Seconds that a preflight may be cached. */
  maxAge?: number;
  credentials?: boolean;
}

const DEFAULT_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];

/** Lets pages of other origins read responses, and answers their preflight requests with 204. */
export function cors<State>(options: CORSOptions<State> = {}): MiddlewareFn<State> {
  const { origin: allowed = "*", allowMethods = DEFAULT_METHODS, allowHeaders = [], exposeHeaders = [] } = options;
  const allowedOrigin = (origin: string, ctx: Context<State>): string | null | undefined => {
    if (typeof allowed === "function") return allowed(origin, ctx);
    if (allowed === "*") return "*";
    return [allowed].flat().includes(origin) ? origin : null;
  };
  return async (ctx) => {
    const { headers: requested, method } = ctx.req;
    const origin = allowedOrigin(requested.get("origin") ?? "", ctx);
    const headers = new Headers();
    if (origin) headers.set("Access-Control-Allow-Origin", origin);
    if (origin !== "*") headers.append("Vary", "Origin");
    if (options.credentials) headers.set("Access-Control-Allow-Credentials", "true");
    if (exposeHeaders.length > 0) headers.set("Access-Control-Expose-Headers", exposeHeaders.join(","));
    if (method === "OPTIONS" && requested.has("access-control-request-method")) {
      if (options.maxAge !== undefined) headers.set("Access-Control-Max-Age", String(options.maxAge));
      if (allowMethods.length > 0) headers.set("Access-Control-Allow-Methods", allowMethods.join(","));
      const names = allowHeaders.length > 0 ? allowHeaders.join(",") : requested.get("access-control-request-headers");
      if (names) {
        headers.set("Access-Control-Allow-Headers", names);
        headers.append("Vary", "Access-Control-Request-Headers");
      }
      return new Response(null, { status: 204, headers });
    }
    return withHeaders(await ctx.next(), (own) => {
      for (const [name, value] of headers) {
        if (name === "vary") own.append(name, value);
        else own.set(name, value);
      }
    });
  };
}
