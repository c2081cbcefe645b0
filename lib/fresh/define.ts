import type { ComponentChildren } from "preact";
import type { Middleware, PageProps, RouteHandler } from "./types.ts";

type ReturnedData<Handler> = Handler extends (...args: never[]) => infer Returned
  ? (Awaited<Returned> extends infer Answer ? (Answer extends { data: infer Data } ? Data : never) : never)
  : never;

/** The type of `props.data` that the handlers `Handlers` give their page. */
export type DataOf<Handlers> = [Handlers] extends [never] ? unknown
  : Handlers extends (...args: never[]) => unknown ? ReturnedData<Handlers>
  : { [M in keyof Handlers]: ReturnedData<Handlers[M]> }[keyof Handlers];

type Rendered = ComponentChildren | Response | Promise<ComponentChildren | Response>;

/** Typed identity functions, so that routes need no type annotations. */
export interface Define<State> {
  /** Defines route handlers. */
  handlers<Data, Handlers extends RouteHandler<Data, State> = RouteHandler<Data, State>>(handlers: Handlers): Handlers;
  /** Defines a page. `define.page<typeof handlers>` types `props.data` after what the handlers return. */
  page<Handlers = never>(
    render: (props: PageProps<DataOf<Handlers>, State>) => Rendered,
  ): (props: PageProps<DataOf<Handlers>, State>) => Rendered;
  /** Defines a layout. */
  layout(
    render: (props: PageProps<unknown, State>) => Rendered,
  ): (props: PageProps<unknown, State>) => Rendered;
  /** Defines a middleware, or several. */
  middleware<M extends Middleware<State>>(middleware: M): M;
}

/** Makes the `define` helpers for an app whose `ctx.state` is a `State`. */
export function createDefine<State>(): Define<State> {
  return {
    handlers: (handlers) => handlers,
    page: (render) => render,
    layout: (render) => render,
    middleware: (middleware) => middleware,
  };
}
