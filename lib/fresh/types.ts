import type { ComponentChildren } from "preact";
import type { Context } from "./context.ts";

/** The HTTP methods that a route can answer. */
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS";

/** Options of `new App()`. */
export interface FreshConfig {
  /** A path that every route is prefixed with, such as `/my-app`. */
  basePath?: string;
}

/** The configuration that a request sees as `ctx.config`. */
export interface ResolvedFreshConfig {
  /** Directory that the files of the build are relative to. */
  root: string;
  /** Prefix of every route; empty when there is none. */
  basePath: string;
  mode: "development" | "production";
}

/** Answers a request, or passes it on with `ctx.next()`. */
export type MiddlewareFn<State> = (ctx: Context<State>) => Response | Promise<Response>;

/** One middleware, or several that run from left to right. */
export type Middleware<State> = MiddlewareFn<State> | MiddlewareFn<State>[];

/** A value, or a function that loads it when it is first needed. */
export type MaybeLazy<T> = T | (() => Promise<T>);

/** What a handler returns to have its page rendered with `data`. Made by {@linkcode page}. */
export interface PageResponse<Data> {
  data: Data;
  headers?: HeadersInit;
  status?: number;
}

/** Answers a request itself or returns the data of its page. */
export type HandlerFn<Data, State> = (
  ctx: Context<State>,
) => Response | PageResponse<Data> | Promise<Response | PageResponse<Data>>;

/** A handler for each HTTP method; a method without one is answered with 405. */
export type HandlerByMethod<Data, State> = { [M in Method]?: HandlerFn<Data, State> };

/** A handler for all methods, or one for each method. */
export type RouteHandler<Data, State> = HandlerFn<Data, State> | HandlerByMethod<Data, State>;

/** What pages, layouts and the app wrapper receive. */
export type PageProps<Data = unknown, State = unknown> =
  & Pick<
    Context<State>,
    "config" | "url" | "req" | "params" | "info" | "state" | "isPartial" | "Component" | "error" | "route"
  >
  & { data: Data };

/** Renders a page, a layout or the app wrapper. May be async, and may return a `Response` instead. */
export type RouteComponent<Data, State> = (
  // Only its own handlers know the data that a page gets: here any page must fit.
  // deno-lint-ignore no-explicit-any
  props: PageProps<unknown extends Data ? any : Data, State>,
) => ComponentChildren | Response | Promise<ComponentChildren | Response>;

/** What a layout may opt out of. */
export interface LayoutConfig {
  /** Render without the app wrapper. */
  skipAppWrapper?: boolean;
  /** Render without the layouts of the folders above. */
  skipInheritedLayouts?: boolean;
}

/** What a route file may export as `config`. */
export interface RouteConfig extends LayoutConfig {
  /** A URL pattern to use instead of the one made from the file's path. */
  routeOverride?: string;
}

/** A page with optional handlers, as `app.route()` takes it. */
export interface Route<State> {
  component?: RouteComponent<unknown, State>;
  handler?: RouteHandler<unknown, State>;
  handlers?: RouteHandler<unknown, State>;
  config?: RouteConfig;
}

/** Options of `app.listen()`. */
export type ListenOptions =
  & Partial<Deno.ServeTcpOptions & Deno.TlsCertifiedKeyPem>
  & { remoteAddress?: string };

/** Marks what a handler returns as the data of its page. */
export function page<Data>(data: Data, options?: { headers?: HeadersInit; status?: number }): PageResponse<Data>;
export function page(): PageResponse<undefined>;
export function page<Data>(
  data?: Data,
  options: { headers?: HeadersInit; status?: number } = {},
): PageResponse<Data | undefined> {
  return { data, headers: options.headers, status: options.status };
}
