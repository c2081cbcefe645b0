import { nonceOf } from "../context.ts";
import { withHeaders } from "../headers.ts";
import type { MiddlewareFn } from "../types.ts";

/** Options of {@linkcode csp}. */
export interface CSPOptions {
  /** Only report violations. */
  reportOnly?: boolean;
  /** Where browsers send their reports. */
  reportTo?: string;
  /** Directives that replace the default ones of the same name, or are added to them. */
  csp?: string[];
  /** Allow inline scripts and styles only with this page's nonce, in place of 'unsafe-inline'. */
  useNonce?: boolean;
}

const DEFAULT_DIRECTIVES = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "font-src 'self'",
  "img-src 'self' data:",
  "media-src 'self' data: blob:",
  "worker-src 'self' blob:",
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "upgrade-insecure-requests",
];

const NONCE_DIRECTIVES = [
  "default-src",
  "script-src",
  "style-src",
  "script-src-elem",
  "style-src-elem",
  "style-src-attr",
];

/**
 * Sets Content-Security-Policy. With `useNonce` a rendered page is only allowed the scripts and styles that carry its
 * nonce; a response that `ctx.render()` did not make has none and keeps 'unsafe-inline' (as in Fresh).
 */
export function csp<State>(options: CSPOptions = {}): MiddlewareFn<State> {
  const directives = new Map(DEFAULT_DIRECTIVES.map((directive) => [nameOf(directive), directive]));
  for (const directive of options.csp ?? []) directives.set(nameOf(directive), directive);
  if (options.reportTo !== undefined) {
    directives.set("report-to", "report-to csp-endpoint");
    directives.set("report-uri", `report-uri ${options.reportTo}`);
  }
  const header = `Content-Security-Policy${options.reportOnly ? "-Report-Only" : ""}`;
  return async (ctx) => {
    const response = await ctx.next();
    const nonce = options.useNonce ? nonceOf(response) : undefined;
    const policy = [...directives].map(([name, directive]) =>
      nonce !== undefined && NONCE_DIRECTIVES.includes(name)
        ? directive.replaceAll("'unsafe-inline'", `'nonce-${nonce}'`)
        : directive
    );
    return withHeaders(response, (headers) => {
      headers.set(header, policy.join("; "));
      if (options.reportTo !== undefined) headers.set("Reporting-Endpoints", `csp-endpoint="${options.reportTo}"`);
    });
  };
}

const nameOf = (directive: string) => directive.trim().split(/\s+/, 1)[0]!;
