import { type Context, internalsOf } from "./context.ts";
import { HttpError } from "./error.ts";
import type { HandlerFn, LayoutConfig, MiddlewareFn, PageResponse, Route, RouteComponent } from "./types.ts";

/** What one path segment adds to the routes below it. */
export interface Segment<State> {
  children: Map<string, Segment<State>>;
  parent: Segment<State> | null;
  middlewares: MiddlewareFn<State>[];
  layout: { component: RouteComponent<unknown, State>; config: LayoutConfig } | null;
  app: RouteComponent<unknown, State> | null;
  /** Answers what this segment and those below throw, its own middlewares included. */
  onError: MiddlewareFn<State> | null;
}

/** A segment that adds nothing yet. */
export function newSegment<State>(parent: Segment<State> | null): Segment<State> {
  return { children: new Map(), parent, middlewares: [], layout: null, app: null, onError: null };
}

/** The segment at `path` (a route pattern or a folder of routes) below `root`, made when it is not there. */
export function segmentAt<State>(root: Segment<State>, path: string): Segment<State> {
  let segment = root;
  for (const part of path.split("/")) {
    if (part === "" || part === "*") continue;
    let child = segment.children.get(part);
    if (child === undefined) segment.children.set(part, child = newSegment(segment));
    segment = child;
  }
  return segment;
}

/** The middlewares that a request for a route at `segment` runs through, outermost first, as of now. */
export function chainOf<State>(segment: Segment<State>): MiddlewareFn<State>[] {
  const path: Segment<State>[] = [];
  for (let at: Segment<State> | null = segment; at !== null; at = at.parent) path.unshift(at);
  return path.flatMap(({ layout, app, onError, middlewares }) => {
    const chain: MiddlewareFn<State>[] = [];
    if (layout !== null || app !== null) {
      chain.push((ctx) => {
        const internals = internalsOf(ctx);
        if (app !== null) internals.app = app;
        if (layout !== null) {
          if (layout.config.skipAppWrapper) internals.app = null;
          internals.layouts = [...(layout.config.skipInheritedLayouts ? [] : internals.layouts), layout.component];
        }
        return ctx.next();
      });
    }
    if (onError !== null) chain.push(errorBoundary(onError));
    return [...chain, ...middlewares];
  });
}

/** Runs the rest of the chain and answers what it throws with `onError`. */
export function errorBoundary<State>(onError: MiddlewareFn<State>): MiddlewareFn<State> {
  return async (ctx) => {
    const internals = internalsOf(ctx);
    const { layouts, app } = internals;
    try {
      return await ctx.next();
    } catch (error) {
      // A root notFound handler answers every 404 (Fresh's documentation, "Not found error").
      if (error instanceof HttpError && error.status === 404 && internals.hasNotFound) throw error;
      if (!(error instanceof HttpError) || error.status >= 500) console.error(error);
      // Layouts of deeper segments do not wrap the error page of this one.
      internals.layouts = layouts;
      internals.app = app;
      internals.error = error;
      return await onError(ctx);
    }
  };
}

/** Runs `chain` for `ctx`: each middleware's `ctx.next()` runs the rest. Rejects with whatever was thrown. */
export async function runChain<State>(
  ctx: Context<State>,
  chain: MiddlewareFn<State>[],
  index = 0,
): Promise<Response> {
  const middleware = chain[index];
  if (middleware === undefined) throw new HttpError(404);
  const outerNext = ctx.next;
  ctx.next = () => runChain(ctx, chain, index + 1);
  try {
    const result: unknown = await middleware(ctx);
    if (!(result instanceof Response)) {
      throw new TypeError(
        `A middleware for ${ctx.url.pathname} returned ${typeof result}; expected a Response. ` +
          `Return a Response or the result of ctx.next()`,
      );
    }
    return result;
  } catch (error) {
    internalsOf(ctx).error = error;
    throw error;
  } finally {
    ctx.next = outerNext;
  }
}

/** Turns a route into the handlers of its methods: "ALL", or one for each. */
export function routeHandlers<State>(route: Route<State>): Map<string, MiddlewareFn<State>> {
  const { component, config } = route;
  const handlers = route.handlers ?? route.handler;
  const prepare = (ctx: Context<State>) => {
    const internals = internalsOf(ctx);
    if (config?.skipAppWrapper) internals.app = null;
    if (config?.skipInheritedLayouts) internals.layouts = [];
  };
  const answer = (handler?: HandlerFn<unknown, State>): MiddlewareFn<State> => async (ctx) => {
    prepare(ctx);
    const result: Response | PageResponse<unknown> = handler === undefined ? { data: undefined } : await handler(ctx);
    if (result instanceof Response) return result;
    if (component === undefined) {
      throw new TypeError(`The handler for ${ctx.route} returned page data, but the route has no component to render`);
    }
    if (result === null || typeof result !== "object") {
      throw new TypeError(`The handler for ${ctx.route} returned ${typeof result}; expected a Response or page(data)`);
    }
    return await internalsOf(ctx).renderRoute(component, result.data, result);
  };
  if (typeof handlers === "function") return new Map([["ALL", answer(handlers)]]);
  const byMethod = new Map<string, MiddlewareFn<State>>();
  for (const [method, handler] of Object.entries(handlers ?? {})) byMethod.set(method, answer(handler));
  if (component !== undefined && !byMethod.has("GET")) byMethod.set("GET", answer());
  return byMethod;
}
