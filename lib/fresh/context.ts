import { type ComponentChildren, Fragment, type FunctionComponent, h, isValidElement, type VNode } from "preact";
import type { BuildCache } from "./build_cache.ts";
import { HttpError } from "./error.ts";
import { catchResponse, renderDocument } from "./render.ts";
import type { LayoutConfig, PageProps, ResolvedFreshConfig, RouteComponent } from "./types.ts";
import { bindSocket, splitUpgradeArguments, type UpgradeOptions, type WebSocketHandlers } from "./websocket.ts";

/** The part of a context that only this folder sees. */
export interface ContextInternals<State> {
  error: unknown;
  app: RouteComponent<unknown, State> | null;
  layouts: RouteComponent<unknown, State>[];
  /** Whether the app answers 404 with its own `notFound` handler. */
  hasNotFound: boolean;
  buildCache: BuildCache | null;
  /** Renders a route's component with `data` as `props.data`. */
  renderRoute(component: RouteComponent<unknown, State>, data: unknown, init: ResponseInit): Promise<Response>;
}

let readInternals: <State>(ctx: Context<State>) => ContextInternals<State>;

/** The internals of `ctx`. */
export function internalsOf<State>(ctx: Context<State>): ContextInternals<State> {
  return readInternals(ctx);
}

/** What the app knows of a request when it makes its context. */
export interface ContextInit {
  req: Request;
  url: URL;
  info: Deno.ServeHandlerInfo;
  config: ResolvedFreshConfig;
  params: Record<string, string>;
  route: string | null;
  buildCache: BuildCache | null;
  hasNotFound: boolean;
}

/** One request on its way through the middlewares, and the ways to answer it. */
export class Context<State> {
  static {
    readInternals = (ctx) => ctx.#internals;
  }

  readonly config: ResolvedFreshConfig;
  readonly req: Request;
  readonly url: URL;
  /** The values of the route pattern's parameters, decoded. */
  readonly params: Record<string, string>;
  /** The pattern of the matched route; null when none matched. */
  readonly route: string | null;
  /** The connection that the request came over. */
  readonly info: Deno.ServeHandlerInfo;
  /** Data that middlewares pass on. Each request has its own. */
  readonly state: State = {} as State;
  /** Whether the client asks for part of a page. */
  readonly isPartial: boolean;
  /** In layouts: what they wrap. */
  Component: FunctionComponent = () => null;
  /** Runs the next middleware. */
  next: () => Promise<Response> = () => Promise.reject(new HttpError(404));
  readonly #internals: ContextInternals<State>;

  constructor(init: ContextInit) {
    this.config = init.config;
    this.req = init.req;
    this.url = init.url;
    this.params = init.params;
    this.route = init.route;
    this.info = init.info;
    this.isPartial = init.url.searchParams.has("fresh-partial");
    this.#internals = {
      error: null,
      app: null,
      layouts: [],
      hasNotFound: init.hasNotFound,
      buildCache: init.buildCache,
      renderRoute: (component, data, init) => this.#renderRoute(component, data, init),
    };
  }

  /** What was thrown, on error pages; otherwise null. */
  get error(): unknown {
    return this.#internals.error;
  }

  /**
   * Redirects to a path of this site, or to an absolute URL. Repeated slashes (and backslashes, which browsers read as
   * slashes) are collapsed in a path, so that `//evil.com` from user input cannot leave the site.
   */
  redirect(pathOrUrl: string, status = 302): Response {
    // As the URL standard does before it parses: drop tabs, newlines, and what is invisible in front.
    const cleaned = pathOrUrl.replaceAll(/[\t\n\r]/g, "").replace(/^[\p{Cc} ]+/u, "");
    const path = /^[/\\][^?#]*/.exec(cleaned)?.[0] ?? "";
    const location = path.replaceAll(/[/\\]+/g, "/") + cleaned.slice(path.length);
    const ascii = location.toWellFormed().replaceAll(/[^\x20-\x7e]+/g, encodeURIComponent);
    return new Response(null, { status, headers: { location: ascii } });
  }

  /** Renders JSX inside the layouts and the app wrapper of this route. */
  async render(vnode: VNode | null, init: ResponseInit = {}, config: LayoutConfig = {}): Promise<Response> {
    if (vnode !== null && !isValidElement(vnode)) {
      throw new TypeError(`ctx.render() takes a JSX element; got ${vnode === undefined ? "nothing" : typeof vnode}`);
    }
    const { app, layouts } = this.#internals;
    const wrappers = [
      ...(config.skipAppWrapper || app === null ? [] : [app]),
      ...(config.skipInheritedLayouts ? [] : layouts),
    ];
    let child: ComponentChildren = vnode;
    for (const wrapper of wrappers.reverse()) {
      const inner = child;
      const result = await this.#instantiate(wrapper, undefined, () => h(Fragment, null, inner));
      if (result instanceof Response) return result;
      child = result;
    }
    const rendered = renderDocument(this, child, this.#internals.buildCache);
    if (rendered instanceof Response) return rendered;
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "text/html; charset=utf-8");
    const response = new Response(rendered.html, {
      status: init.status ?? this.#errorStatus(),
      statusText: init.statusText,
      headers,
    });
    nonces.set(response, rendered.nonce);
    return response;
  }

  /** Answers with plain text. */
  text(content: string, init?: ResponseInit): Response {
    return new Response(content, withType(init, "text/plain; charset=utf-8"));
  }

  /** Answers with a string of HTML. */
  html(content: string, init?: ResponseInit): Response {
    return new Response(content, withType(init, "text/html; charset=utf-8"));
  }

  /** Answers with `content` as JSON. */
  json(content: unknown, init?: ResponseInit): Response {
    return Response.json(content, init);
  }

  /** Answers with the chunks of an iterable as they come; strings are encoded as UTF-8. */
  stream(
    chunks: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
    init?: ResponseInit,
  ): Response {
    const encoder = new TextEncoder();
    const body = ReadableStream.from(chunks).pipeThrough(
      new TransformStream<string | Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          controller.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
        },
      }),
    );
    return new Response(body, init);
  }

  /** Upgrades to a WebSocket whose events go to `handlers`. Throws `HttpError(400)` on any other request. */
  upgrade(handlers: WebSocketHandlers, options?: UpgradeOptions): Response;
  /** Upgrades to a WebSocket and returns it, to be wired up by the caller. */
  upgrade(options?: UpgradeOptions): { socket: WebSocket; response: Response };
  upgrade(
    first?: WebSocketHandlers | UpgradeOptions,
    second?: UpgradeOptions,
  ): Response | { socket: WebSocket; response: Response } {
    if (this.req.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      throw new HttpError(400, "Expected a WebSocket upgrade request");
    }
    const { handlers, options } = splitUpgradeArguments(first, second);
    const { socket, response } = Deno.upgradeWebSocket(this.req, options);
    if (handlers === null) return { socket, response };
    bindSocket(socket, handlers);
    return response;
  }

  /** An error page that names no status answers with that of its error. */
  #errorStatus(): number {
    const { error } = this.#internals;
    if (error === null) return 200;
    return error instanceof HttpError ? error.status : 500;
  }

  async #renderRoute(
    component: RouteComponent<unknown, State>,
    data: unknown,
    init: ResponseInit,
  ): Promise<Response> {
    const result = await this.#instantiate(component, data, this.Component);
    if (result instanceof Response) return result;
    return await this.render(h(Fragment, null, result), init);
  }

  /** A vnode of `component`; an async one is run at once, since Preact renders synchronously. */
  async #instantiate(
    component: RouteComponent<unknown, State>,
    data: unknown,
    child: FunctionComponent,
  ): Promise<ComponentChildren | Response> {
    const { config, url, req, params, info, state, isPartial, error, route } = this;
    const props: PageProps<unknown, State> = {
      ...{ config, url, req, params, info, state, isPartial, error, route, data },
      Component: child,
    };
    if (component.constructor.name === "AsyncFunction") {
      return await (component as (props: PageProps<unknown, State>) => Promise<ComponentChildren | Response>)(props);
    }
    return h(catchResponse(component as FunctionComponent<Record<string, unknown>>), { ...props });
  }
}

/** The nonce that a rendered response was given; kept beside it, for `csp()`. */
const nonces = new WeakMap<Response, string>();

/** The nonce of the scripts and styles in a response that `ctx.render()` made; undefined for any other response. */
export function nonceOf(response: Response): string | undefined {
  return nonces.get(response);
}

/** Gives the copy of a response its nonce. */
export function copyNonce(from: Response, to: Response): void {
  const nonce = nonces.get(from);
  if (nonce !== undefined) nonces.set(to, nonce);
}

function withType(init: ResponseInit | undefined, contentType: string): ResponseInit {
  const headers = new Headers(init?.headers);
  if (!headers.has("content-type")) headers.set("content-type", contentType);
  return { ...init, headers };
}
