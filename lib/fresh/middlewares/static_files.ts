import { type StaticFile } from "../build_cache.ts";
import { internalsOf } from "../context.ts";
import { ASSET_CACHE_BUST_KEY } from "../runtime.ts";
import type { MiddlewareFn } from "../types.ts";

const ONE_YEAR = "public, max-age=31536000, immutable";
const NO_CACHE = "no-cache, no-store, max-age=0, must-revalidate";
const REVALIDATE = "no-cache";

/**
 * Serves the files of `static/` and the islands' chunks: immutable when the URL is tied to the build, with ETag and
 * 304, and the precompressed form that the client accepts. Only files that the build knows can be reached.
 */
export function staticFiles<State>(): MiddlewareFn<State> {
  return async (ctx) => {
    const cache = internalsOf(ctx).buildCache;
    const file = cache === null ? undefined : lookUp(cache.snapshot.staticFiles, ctx.url, ctx.config.basePath);
    if (cache === null || file === undefined) return await ctx.next();
    const { method, headers: requestHeaders } = ctx.req;
    if (method !== "GET" && method !== "HEAD") {
      return new Response("Method Not Allowed", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    const build = ctx.url.searchParams.get(ASSET_CACHE_BUST_KEY);
    if (build !== null && build !== cache.snapshot.buildId) {
      // A page of another build asks: give it the current file, but never for a year under that build's URL.
      const url = new URL(ctx.url);
      url.searchParams.delete(ASSET_CACHE_BUST_KEY);
      return new Response(null, { status: 307, headers: { location: url.pathname + url.search } });
    }
    const encodings = [file.br && "br", file.gzip && "gzip"].filter((name) => name === "br" || name === "gzip");
    const encoding = chooseEncoding(requestHeaders.get("accept-encoding") ?? "", encodings);
    const headers = new Headers({
      "content-type": file.contentType,
      "cache-control": cacheControl(cache.mode, build !== null || file.hashed === true),
      etag: `W/"${file.hash}"`,
    });
    if (encodings.length > 0) headers.set("vary", "Accept-Encoding");
    if (matchesETag(requestHeaders.get("if-none-match"), file.hash)) {
      return new Response(null, { status: 304, headers });
    }
    const size = encoding === "br" ? file.br! : encoding === "gzip" ? file.gzip! : file.size;
    headers.set("content-length", String(size));
    if (encoding !== null) headers.set("content-encoding", encoding);
    if (method === "HEAD") return new Response(null, { headers });
    return new Response(await cache.readFile(file, encoding), { headers });
  };
}

function lookUp(files: Map<string, StaticFile>, url: URL, basePath: string): StaticFile | undefined {
  if (!url.pathname.startsWith(basePath)) return undefined;
  const path = url.pathname.slice(basePath.length);
  try {
    return files.get(path) ?? files.get(decodeURIComponent(path));
  } catch {
    return undefined;
  }
}

function cacheControl(mode: "development" | "production", immutable: boolean): string {
  if (mode === "development") return NO_CACHE;
  return immutable ? ONE_YEAR : REVALIDATE;
}

/** The first of `available` that an Accept-Encoding header allows (RFC 9110, 12.5.3); null for none. */
export function chooseEncoding<Name extends string>(accept: string, available: Name[]): Name | null {
  const weights = new Map<string, number>();
  for (const part of accept.toLowerCase().split(",")) {
    const [name, ...parameters] = part.split(";").map((text) => text.trim());
    const quality = parameters.find((text) => text.startsWith("q="));
    if (name) weights.set(name, quality === undefined ? 1 : Number(quality.slice(2)));
  }
  return available.find((name) => (weights.get(name) ?? weights.get("*") ?? 0) > 0) ?? null;
}

function matchesETag(header: string | null, hash: string): boolean {
  if (header === null) return false;
  return header.split(",").some((tag) => ["*", hash, `"${hash}"`, `W/"${hash}"`].includes(tag.trim()));
}
