/**
 * The part of Fresh 2.3's public API that this app uses, under Fresh's names and with its behaviour, on npm packages.
 * Fresh itself is published on JSR only; mapping `fresh` to it runs the same app on the original.
 *
 * @module
 */
export { App } from "./app.ts";
export { Context } from "./context.ts";
export type { Context as FreshContext } from "./context.ts";
export { createDefine, type Define } from "./define.ts";
export { HttpError } from "./error.ts";
export { cors, type CORSOptions } from "./middlewares/cors.ts";
export { csp, type CSPOptions } from "./middlewares/csp.ts";
export { csrf, type CsrfOptions } from "./middlewares/csrf.ts";
export { staticFiles } from "./middlewares/static_files.ts";
export {
  type FreshConfig,
  type HandlerByMethod,
  type HandlerFn,
  type LayoutConfig,
  type ListenOptions,
  type MaybeLazy,
  type Method,
  type Middleware,
  type MiddlewareFn,
  page,
  type PageProps,
  type PageResponse,
  type ResolvedFreshConfig,
  type Route,
  type RouteComponent,
  type RouteConfig,
  type RouteHandler,
} from "./types.ts";
export type { UpgradeOptions, WebSocketHandlers } from "./websocket.ts";
