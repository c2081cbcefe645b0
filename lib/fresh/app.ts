import type { BuildCache } from "./build_cache.ts";
import { Context, internalsOf } from "./context.ts";
import { HttpError } from "./error.ts";
import { type FsRouteCommand, fsRouteCommands } from "./fs_routes.ts";
import { withHeaders } from "./headers.ts";
import { joinPath, Router } from "./router.ts";
import { chainOf, errorBoundary, newSegment, routeHandlers, runChain, type Segment, segmentAt } from "./segments.ts";
import type {
  FreshConfig,
  LayoutConfig,
  ListenOptions,
  MaybeLazy,
  Method,
  Middleware,
  MiddlewareFn,
  ResolvedFreshConfig,
  Route,
  RouteComponent,
} from "./types.ts";
import type { UpgradeOptions, WebSocketHandlers } from "./websocket.ts";

/** One thing that was added to an app, in order. */
export type Command<State> =
  | { type: "middleware"; path: string; middlewares: MiddlewareFn<State>[] }
  | { type: "layout"; path: string; component: RouteComponent<unknown, State>; config: LayoutConfig }
  | { type: "app"; component: RouteComponent<unknown, State>; path: string }
  | { type: "error"; path: string; handler: MiddlewareFn<State> }
  | { type: "notFound"; handler: MiddlewareFn<State> }
  | { type: "handlers"; path: string; pattern: string; handlers: Map<string, MiddlewareFn<State>[]> }
  | { type: "fsRoutes"; path: string };

type Handler<State> = (req: Request, info?: Deno.ServeHandlerInfo) => Promise<Response>;

const UNKNOWN_INFO: Deno.ServeHandlerInfo = {
  remoteAddr: { transport: "tcp", hostname: "localhost", port: 0 },
  completed: Promise.resolve(),
};

/** Routes requests to middlewares, handlers and pages. Everything applies to what is added after it. */
export class App<State = unknown> {
  /** The app's own configuration. */
  readonly config: ResolvedFreshConfig;
  readonly #commands: Command<State>[] = [];
  #buildCache: BuildCache | null = null;

  constructor(config: FreshConfig = {}) {
    const basePath = config.basePath === undefined ? "" : joinPath(config.basePath, "/");
    this.config = { root: "", basePath: basePath === "/" ? "" : basePath, mode: "production" };
  }

  /** Adds middlewares for every path, or for a path and what is below it. */
  use(...middlewares: MaybeLazy<Middleware<State>>[]): this;
  use(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this;
  use(first: string | MaybeLazy<Middleware<State>>, ...rest: MaybeLazy<Middleware<State>>[]): this {
    const [path, middlewares] = typeof first === "string" ? [first, rest] : ["/", [first, ...rest]];
    this.#commands.push({ type: "middleware", path, middlewares: middlewares.flatMap(toMiddlewares) });
    return this;
  }

  /** Answers GET (and HEAD) requests for `path`. */
  get(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("GET", path, middlewares);
  }
  /** Answers POST requests for `path`. */
  post(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("POST", path, middlewares);
  }
  /** Answers PUT requests for `path`. */
  put(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("PUT", path, middlewares);
  }
  /** Answers PATCH requests for `path`. */
  patch(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("PATCH", path, middlewares);
  }
  /** Answers DELETE requests for `path`. */
  delete(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("DELETE", path, middlewares);
  }
  /** Answers HEAD requests for `path`. */
  head(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("HEAD", path, middlewares);
  }
  /** Answers OPTIONS requests for `path`. */
  options(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("OPTIONS", path, middlewares);
  }
  /** Answers requests of every method for `path`. */
  all(path: string, ...middlewares: MaybeLazy<Middleware<State>>[]): this {
    return this.#on("ALL", path, middlewares);
  }

  #on(method: Method | "ALL", path: string, middlewares: MaybeLazy<Middleware<State>>[]): this {
    const handlers = new Map([[method as string, middlewares.flatMap(toMiddlewares)]]);
    this.#commands.push({ type: "handlers", path, pattern: path, handlers });
    return this;
  }

  /** Answers WebSocket upgrades of `path`; other requests get 400. */
  ws(path: string, handlers: WebSocketHandlers, options?: UpgradeOptions): this {
    return this.get(path, (ctx) => ctx.upgrade(handlers, options));
  }

  /** Adds a page, with handlers for its data. */
  route(path: string, route: Route<State>): this {
    const handlers = new Map([...routeHandlers(route)].map(([method, handler]) => [method, [handler]]));
    this.#commands.push({ type: "handlers", path, pattern: path, handlers });
    return this;
  }

  /** Adds the routes, middlewares, layouts and error pages of the routes folder, below `path`. */
  fsRoutes(path = "/"): this {
    this.#commands.push({ type: "fsRoutes", path });
    return this;
  }

  /** Adds everything that `app` has so far, below `path`. */
  mountApp(path: string, app: App<State>): this {
    for (const command of app.#commands) this.#commands.push(mounted<State>(path, command));
    return this;
  }

  /** Sets the component that renders the outer HTML of every page. */
  appWrapper(component: RouteComponent<unknown, State>): this {
    this.#commands.push({ type: "app", path: "/", component });
    return this;
  }

  /** Sets the layout of the pages at `path` and below. */
  layout(path: string, component: RouteComponent<unknown, State>, config: LayoutConfig = {}): this {
    this.#commands.push({ type: "layout", path, component, config });
    return this;
  }

  /** Answers what is thrown at `path` ("*": anywhere) and below. */
  onError(handler: Route<State> | MiddlewareFn<State>): this;
  onError(path: string, handler: Route<State> | MiddlewareFn<State>): this;
  onError(
    first: string | Route<State> | MiddlewareFn<State>,
    second?: Route<State> | MiddlewareFn<State>,
  ): this {
    const [path, handler] = typeof first === "string" ? [first, second!] : ["*", first];
    this.#commands.push({ type: "error", path, handler: asMiddleware(handler) });
    return this;
  }

  /** Answers every 404: paths without a route, and `HttpError(404)`. */
  notFound(handler: Route<State> | MiddlewareFn<State>): this {
    this.#commands.push({ type: "notFound", handler: asMiddleware(handler) });
    return this;
  }

  /** Gives the app its build; see {@linkcode setBuildCache}. */
  useBuildCache(cache: BuildCache): void {
    this.#buildCache = cache;
    this.config.mode = cache.mode;
    this.config.root = cache.root;
  }

  /** Makes the function that answers requests with what was added so far. */
  handler(): Handler<State> {
    const config = this.config;
    const buildCache = this.#buildCache;
    const root = newSegment<State>(null);
    const router = new Router<MiddlewareFn<State>[]>();
    const custom: { notFound: MiddlewareFn<State> | null } = { notFound: null };
    /** There is one "not found" page for the app: it has the root's layout, wherever the 404 came from. */
    const atRoot = (notFound: MiddlewareFn<State>): MiddlewareFn<State> => (ctx) => {
      const internals = internalsOf(ctx);
      internals.app = root.layout?.config.skipAppWrapper ? null : root.app;
      internals.layouts = root.layout === null ? [] : [root.layout.component];
      return notFound(ctx);
    };
    /** As with error pages: a "not found" page passes through the middlewares that were run before it. */
    const notFoundBoundary: MiddlewareFn<State> = async (ctx) => {
      try {
        return await ctx.next();
      } catch (error) {
        if (custom.notFound === null || !(error instanceof HttpError) || error.status !== 404) throw error;
        return await custom.notFound(ctx);
      }
    };

    for (const command of this.#commands) {
      if (command.type !== "fsRoutes") {
        apply(command);
        continue;
      }
      if (buildCache === null) {
        throw new Error(
          "app.fsRoutes() needs a build. Run the build, then start the generated _fresh/server.js; " +
            "in development start the app with Builder.listen(); in tests apply a memory snapshot to the app",
        );
      }
      for (const file of fsRouteCommands<State>(buildCache.snapshot.fsRoutes)) {
        apply(mounted<State>(command.path, file));
      }
    }

    function apply(command: FsRouteCommand<State>): void {
      if (command.type === "notFound") {
        custom.notFound = atRoot(command.handler);
        return;
      }
      const segment: Segment<State> = segmentAt(root, command.path);
      if (command.type === "middleware") segment.middlewares.push(...command.middlewares);
      else if (command.type === "layout") segment.layout = { component: command.component, config: command.config };
      else if (command.type === "app") segment.app = command.component;
      else if (command.type === "error") {
        segment.onError = command.handler;
        // Middlewares that were added earlier also see error pages, so that their headers are on every response.
        segment.middlewares.push(errorBoundary(command.handler));
      } else {
        const before = chainOf(segment);
        for (const [method, handlers] of command.handlers) {
          const pattern = joinPath(config.basePath, command.pattern);
          router.add(method as Method | "ALL", pattern, [...before, notFoundBoundary, ...handlers]);
        }
      }
    }

    const rootChain = [...chainOf(root), notFoundBoundary];
    const chainFor = (match: ReturnType<typeof router.match>): MiddlewareFn<State>[] => {
      if (match.kind === "found") return match.value;
      return [...rootChain, () => {
        throw new HttpError(match.kind === "not-found" ? 404 : 405);
      }];
    };
    const { notFound } = custom;

    return async (req, info = UNKNOWN_INFO) => {
      const url = new URL(req.url);
      if (url.pathname.includes("//")) url.pathname = url.pathname.replaceAll(/\/\/+/g, "/");
      const match = router.match(req.method, url);
      const [params, route] = match.kind === "not-found" ? [{}, null] : [match.params, match.pattern];
      const hasNotFound = notFound !== null;
      const ctx = new Context<State>({ req, url, info, config, params, route, buildCache, hasNotFound });
      const allow = match.kind === "method-not-allowed" ? match.allowed.join(", ") : null;
      let response: Response;
      try {
        response = await runChain(ctx, chainFor(match));
      } catch (error) {
        response = await answerError(ctx, error, notFound);
      }
      // A middleware may have answered for something that is no route of this app.
      if (allow !== null && response.status === 405 && !response.headers.has("allow")) {
        response = withHeaders(response, (headers) => headers.set("allow", allow));
      }
      if (req.method === "HEAD" && response.body !== null) {
        await response.body.cancel();
        return new Response(null, response);
      }
      return response;
    };
  }

  /** Serves the app with `Deno.serve`. */
  async listen(options: ListenOptions = {}): Promise<void> {
    const handler = this.handler();
    await Deno.serve(options as Deno.ServeTcpOptions, (req, info) => handler(req, info)).finished;
  }
}

async function answerError<State>(
  ctx: Context<State>,
  error: unknown,
  notFound: MiddlewareFn<State> | null,
): Promise<Response> {
  internalsOf(ctx).error = error;
  if (error instanceof HttpError) {
    if (error.status === 404 && notFound !== null) {
      try {
        return await runChain(ctx, [notFound]);
      } catch (failure) {
        return await answerError(ctx, failure, null);
      }
    }
    if (error.status >= 500) console.error(error);
    return new Response(error.message, { status: error.status });
  }
  console.error(error);
  return new Response("Internal server error", { status: 500 });
}

/** Loads lazy middlewares on first use: a function whose result is a function or an array is a loader. */
function toMiddlewares<State>(middleware: MaybeLazy<Middleware<State>>): MiddlewareFn<State>[] {
  if (Array.isArray(middleware)) return middleware;
  let loaded: MiddlewareFn<State>[] | null = null;
  return [async (ctx) => {
    const next = ctx.next;
    if (loaded !== null) return await runChain(ctx, [...loaded, () => next()]);
    const result: unknown = await (middleware as MiddlewareFn<State>)(ctx);
    if (typeof result !== "function" && !Array.isArray(result)) return result as Response;
    loaded = [result].flat() as MiddlewareFn<State>[];
    return await runChain(ctx, [...loaded, () => next()]);
  }];
}

function asMiddleware<State>(handler: Route<State> | MiddlewareFn<State>): MiddlewareFn<State> {
  if (typeof handler === "function") return handler;
  const handlers = routeHandlers(handler);
  const answer = handlers.get("ALL") ?? handlers.get("GET");
  if (answer === undefined) throw new TypeError("An error route needs a component or a handler");
  return answer;
}

/** `command` as it is when its app is mounted at `base`. */
function mounted<State>(base: string, command: FsRouteCommand<State>): FsRouteCommand<State>;
function mounted<State>(base: string, command: Command<State>): Command<State>;
function mounted<State>(base: string, command: Command<State>): Command<State> {
  if (command.type === "notFound") return command;
  const path = joinPath(base, command.path);
  return command.type === "handlers"
    ? { ...command, path, pattern: joinPath(base, command.pattern) }
    : { ...command, path };
}
