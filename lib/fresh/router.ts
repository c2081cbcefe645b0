import type { Method } from "./types.ts";

/** What the router found for a URL. */
export type RouteMatch<T> =
  | { kind: "found"; pattern: string; params: Record<string, string>; value: T }
  | { kind: "method-not-allowed"; pattern: string; params: Record<string, string>; allowed: string[] }
  | { kind: "not-found" };

interface Entry<T> {
  pattern: string;
  byMethod: Map<string, T>;
  /** Absent on static routes, which are looked up by their path. */
  dynamic?: { literalPrefix: string; matcher: URLPattern };
}

const DYNAMIC_SYNTAX = /[:*{(?+\\]/;

/**
 * Routes by `URLPattern`, in Fresh's order: exact paths first, then dynamic patterns in the order they were added.
 * A dynamic pattern is only run when the path starts with its literal prefix.
 */
export class Router<T> {
  readonly #static = new Map<string, Entry<T>>();
  readonly #dynamic: Entry<T>[] = [];
  readonly #entries = new Map<string, Entry<T>>();

  /** Adds `value` for `method` ("ALL" for any). The first one added for a pattern and method stays. */
  add(method: Method | "ALL", pattern: string, value: T): void {
    let entry = this.#entries.get(pattern);
    if (entry === undefined) {
      const special = pattern.search(DYNAMIC_SYNTAX);
      entry = { pattern, byMethod: new Map() };
      if (special === -1) {
        // Paths are compared as they are on the wire. Decoding them first would let "/%61dmin" reach "/admin" past
        // a middleware that looks at the path.
        this.#static.set(encodeURI(pattern), entry);
      } else {
        // The prefix before "/:name*" may be matched without its last slash.
        const literalPrefix = encodeURI(pattern.slice(0, special).replace(/\/$/, ""));
        entry.dynamic = { literalPrefix, matcher: new URLPattern({ pathname: pattern }) };
        this.#dynamic.push(entry);
      }
      this.#entries.set(pattern, entry);
    }
    if (!entry.byMethod.has(method)) entry.byMethod.set(method, value);
  }

  /** Finds the route for `method` and the path of `url`. HEAD falls back to GET. */
  match(method: string, url: URL): RouteMatch<T> {
    const fixed = this.#static.get(url.pathname);
    if (fixed !== undefined) return select(fixed, method, {});
    let refused: RouteMatch<T> | undefined;
    for (const entry of this.#dynamic) {
      if (!url.pathname.startsWith(entry.dynamic!.literalPrefix)) continue;
      const groups = entry.dynamic!.matcher.exec({ pathname: url.pathname })?.pathname.groups;
      if (groups === undefined) continue;
      const params: Record<string, string> = {};
      for (const [name, value] of Object.entries(groups)) {
        if (value !== undefined) params[name] = decodeParam(value);
      }
      const found = select(entry, method, params);
      if (found.kind === "found") return found;
      refused ??= found;
    }
    return refused ?? { kind: "not-found" };
  }
}

function select<T>(entry: Entry<T>, method: string, params: Record<string, string>): RouteMatch<T> {
  const { byMethod, pattern } = entry;
  const value = byMethod.get(method) ?? (method === "HEAD" ? byMethod.get("GET") : undefined) ?? byMethod.get("ALL");
  if (value !== undefined) return { kind: "found", pattern, params, value };
  return { kind: "method-not-allowed", pattern, params, allowed: [...byMethod.keys()] };
}

function decodeParam(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Joins two route patterns: `joinPath("/foo/", "/bar")` is `/foo/bar`. */
export function joinPath(base: string, pattern: string): string {
  const separator = pattern.startsWith("/") || pattern.startsWith("{") ? "" : "/";
  const joined = `${base.replace(/\/$/, "")}${separator}${pattern}`;
  return joined.length > 1 ? joined.replace(/\/$/, "") : "/";
}
