import { Signal } from "@preact/signals";
import { DevalueError, stringify } from "devalue";
import {
  type ComponentChildren,
  type ComponentType,
  createContext,
  Fragment,
  type FunctionComponent,
  h,
  isValidElement,
  options,
  toChildArray,
  type VNode,
} from "preact";
import { useContext } from "preact/hooks";
import { renderToString } from "preact-render-to-string";
import type { BuildCache, IslandModule, IslandRef } from "./build_cache.ts";
import type { Context } from "./context.ts";
import { asset, assetSrcSet, collectHead } from "./runtime.ts";

type Props = Record<string, unknown>;

interface RenderState {
  nonce: string;
  basePath: string;
  url: URL;
  cache: BuildCache | null;
  islands: { ref: IslandRef; props: Props }[];
  slots: { content: ComponentChildren; rendered: boolean }[];
  /** Elements of `<Head>` components, in the order they were rendered. */
  head: VNode<Props>[];
  /** The children of the page's own `<head>`; null when it has none. */
  ownHead: ComponentChildren | null;
  headMarker: string;
  hasHtml: boolean;
  hasTail: boolean;
  /** Set when a component returned a Response instead of JSX. */
  response: Response | null;
}

/** The page being rendered. Rendering is synchronous, and Preact's hooks are global: there is one at a time. */
let current: RenderState | null = null;

/** True below an island: an island inside another island's own output is a plain component. */
const InsideIsland = createContext(false);
/** Elements that were made by {@linkcode IslandBoundary} and must not be wrapped again. */
const unwrapped = new WeakSet<VNode>();

/**
 * Renders a page to HTML, with the scripts that its islands need (and none when it has no islands), the elements of
 * `<Head>` and a nonce on every script and style. Returns the Response when a component returned one.
 */
export function renderDocument<State>(
  ctx: Context<State>,
  content: ComponentChildren,
  cache: BuildCache | null,
): { html: string; nonce: string } | Response {
  const nonce = crypto.randomUUID().replaceAll("-", "");
  const state: RenderState = {
    nonce,
    basePath: ctx.config.basePath,
    url: ctx.url,
    cache,
    islands: [],
    slots: [],
    head: [],
    ownHead: null,
    headMarker: `fresh-head-${nonce}`,
    hasHtml: false,
    hasTail: false,
    response: null,
  };
  const outer = current;
  current = state;
  const restoreHead = collectHead((children) => {
    for (const child of toChildArray(children)) if (isValidElement(child)) state.head.push(child as VNode<Props>);
  });
  try {
    const body = renderToString(h(Fragment, null, content));
    if (state.response !== null) return state.response;
    const tail = state.hasTail ? "" : renderToString(h(Tail, null));
    const head = renderToString(h(Fragment, null, ...headElements(state)));
    if (!state.hasHtml) {
      const html = `<html><head><meta charset="utf-8"/>${head}</head><body>${body}${tail}</body></html>`;
      return { html: `<!DOCTYPE html>${html}`, nonce };
    }
    // The marker is unguessable, so nothing in the page's content can stand for it.
    const [before, after] = body.split(`<${state.headMarker}></${state.headMarker}>`);
    const html = after === undefined ? body : before + head + after;
    return { html: `<!DOCTYPE html>${html}${tail}`, nonce };
  } finally {
    current = outer;
    restoreHead();
  }
}

interface DiffOptions {
  /** Preact's hook before an element is rendered; its name is part of what preact-render-to-string relies on. */
  __b?: (vnode: VNode<Props>) => void;
}

const diffOptions = options as DiffOptions;
const previousDiff = diffOptions.__b;
diffOptions.__b = (vnode) => {
  if (current !== null) prepare(vnode, current);
  previousDiff?.(vnode);
};

function prepare(vnode: VNode<Props>, state: RenderState): void {
  if (typeof vnode.type === "string") return prepareElement(vnode, vnode.type, state);
  const type = vnode.type as ComponentType<Props> | undefined;
  if (type === undefined || type === Fragment) return;
  const ref = state.cache?.islands.get(type as ComponentType);
  if (ref !== undefined && !unwrapped.has(vnode)) {
    const props = vnode.props;
    vnode.type = IslandBoundary as unknown as ComponentType<Props>;
    vnode.props = { ref, type, props } as unknown as typeof vnode.props;
  }
}

/** `component` such that it may return a Response, as its async form may: that ends the rendering. */
export function catchResponse(component: FunctionComponent<Props>): FunctionComponent<Props> {
  if (component.prototype?.render) return component;
  return function Page(props) {
    const result: unknown = component(props);
    if (!(result instanceof Response)) return result as ComponentChildren;
    if (current !== null) current.response = result;
    return null;
  };
}

function prepareElement(vnode: VNode<Props>, type: string, state: RenderState): void {
  const props = vnode.props;
  if (type === "script" || type === "style") {
    if (props.nonce === undefined) vnode.props = { ...props, nonce: state.nonce };
  } else if (type === "img" || type === "source") {
    if (props["data-fresh-disable-lock"]) return;
    const locked = { ...props };
    if (typeof props.src === "string") locked.src = asset(props.src);
    if (typeof props.srcset === "string") locked.srcset = assetSrcSet(props.srcset);
    vnode.props = locked;
  } else if (type === "a") {
    markActiveLink(vnode, state);
  } else if (type === "html") {
    state.hasHtml = true;
  } else if (type === "head" && state.ownHead === null) {
    state.ownHead = props.children as ComponentChildren;
    vnode.props = { ...props, children: h(state.headMarker, null) };
  } else if (type === "body" && !state.hasTail) {
    state.hasTail = true;
    vnode.props = { ...props, children: [props.children as ComponentChildren, h(Tail, null)] };
  }
}

/** Marks links to the current page and to its ancestors (Fresh's documentation, "Active links"). */
function markActiveLink(vnode: VNode<Props>, { url }: RenderState): void {
  const { href } = vnode.props;
  if (typeof href !== "string" || !href.startsWith("/") || "aria-current" in vnode.props) return;
  const path = href.replace(/[?#].*$/, "");
  if (path === url.pathname) vnode.props = { ...vnode.props, "data-current": "true", "aria-current": "page" };
  else if (path !== "/" && url.pathname.startsWith(`${path}/`)) {
    vnode.props = { ...vnode.props, "data-ancestor": "true", "aria-current": "true" };
  }
}

/** Renders an island between markers that the client finds it by, and notes its props. */
function IslandBoundary(boundary: { ref: IslandRef; type: ComponentType<Props>; props: Props }): ComponentChildren {
  const isInside = useContext(InsideIsland);
  const state = current!;
  const { ref, type } = boundary;
  if (isInside) {
    const plain = h(type, boundary.props as never);
    unwrapped.add(plain as VNode);
    return plain;
  }
  const props: Props = {};
  for (const [name, value] of Object.entries(boundary.props)) props[name] = hasJsx(value) ? slot(value, state) : value;
  const index = state.islands.push({ ref, props }) - 1;
  const island = h(type, props as never);
  unwrapped.add(island as VNode);
  return [
    comment(`fresh:i:${index}`),
    h(InsideIsland.Provider, { value: true, children: island as VNode }),
    comment(`/fresh:i`),
  ];
}

/** Signals pass for elements (so that they can be rendered as text), but they are sent as signals. */
const isJsx = (value: unknown): value is VNode => !(value instanceof Signal) && isValidElement(value);
const hasJsx = (value: unknown): boolean => isJsx(value) || (Array.isArray(value) && value.some(hasJsx));

function slot(value: unknown, state: RenderState): VNode {
  const id = state.slots.push({ content: value as ComponentChildren, rendered: false }) - 1;
  return h(SlotBoundary, { id }) as VNode;
}

/** JSX that was passed to an island. It stays server-rendered; islands in it are islands of their own. */
function SlotBoundary({ id }: { id: number }): ComponentChildren {
  const entry = current!.slots[id]!;
  entry.rendered = true;
  const content = h(InsideIsland.Provider, { value: false, children: entry.content });
  return [comment(`fresh:s:${id}`), content, comment(`/fresh:s`)];
}

/** What comes last in the body: slots that no island has shown yet, then the scripts. */
function Tail(): ComponentChildren {
  const state = current!;
  const pending = state.slots.flatMap((entry, id) => entry.rendered ? [] : [{ entry, id }]);
  if (pending.length === 0) return scripts(state);
  const templates = pending.map(({ entry, id }) => {
    entry.rendered = true;
    return h("template", { id: `fresh-s-${id}` }, h(Fragment, null, entry.content));
  });
  return [...templates, h(Tail, null)];
}

function scripts(state: RenderState): ComponentChildren {
  const { cache, nonce, basePath } = state;
  if (cache === null) return null;
  const { snapshot } = cache;
  const elements: VNode[] = [];
  if (state.islands.length > 0) {
    elements.push(
      h("script", {
        id: "__FRESH_STATE",
        type: "application/json",
        nonce,
        dangerouslySetInnerHTML: { __html: clientState(state) },
      }) as VNode,
      h("script", { type: "module", nonce, src: basePath + snapshot.clientEntry }) as VNode,
    );
  }
  if (snapshot.liveReload !== undefined) {
    elements.push(h("script", { type: "module", nonce, src: basePath + snapshot.liveReload }) as VNode);
  }
  return elements;
}

/** The build id, the islands' code and their props as JSON that is safe inside a script element. */
function clientState(state: RenderState): string {
  const modules: [url: string, exportName: string][] = [];
  const indexOf = new Map<IslandRef, number>();
  const instances = state.islands.map(({ ref, props }) => {
    if (!indexOf.has(ref)) indexOf.set(ref, modules.push([state.basePath + ref.module.url, ref.exportName]) - 1);
    return [indexOf.get(ref)!, props];
  });
  const json = `{"b":${JSON.stringify(state.cache!.snapshot.buildId)},"i":${JSON.stringify(modules)},"p":${
    serialiseProps(instances, state)
  }}`;
  return json.replaceAll(/[<\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A computed signal has a getter for its value and no setter. */
function isComputed(signal: Signal): boolean {
  return Object.getOwnPropertyDescriptor(Object.getPrototypeOf(signal), "value")?.set === undefined;
}

function serialiseProps(instances: unknown[], state: RenderState): string {
  try {
    return stringify(instances, {
      Signal: (value) => value instanceof Signal && !isComputed(value) && [value.peek()],
      Computed: (value) => value instanceof Signal && [value.peek()],
      Slot: (value) => isJsx(value) && value.type === SlotBoundary && [(value as VNode<{ id: number }>).props.id],
    });
  } catch (error) {
    if (!(error instanceof DevalueError)) throw error;
    const [, index, path] = /^\[(\d+)\]\[1\]\.?(.*)$/.exec(error.path) ?? [];
    const name = index === undefined ? "?" : state.islands[Number(index)]?.ref.module.name;
    throw new TypeError(
      `Island "${name}": the prop "${path}" cannot be sent to the browser (${error.message}); pass plain data, ` +
        `collections, signals, or JSX as a direct prop`,
      { cause: error },
    );
  }
}

/** The page's own head elements, then those of `<Head>` in place of their duplicates, then preloads. */
function headElements(state: RenderState): ComponentChildren[] {
  const elements: ComponentChildren[] = [];
  const placeOf = new Map<string, number>();
  for (const element of [...toChildArray(state.ownHead ?? []), ...state.head]) {
    const identity = isValidElement(element) ? headIdentity(element as VNode<Props>) : null;
    const place = identity === null ? undefined : placeOf.get(identity);
    if (place !== undefined) elements[place] = element;
    else {
      const length = elements.push(element);
      if (identity !== null) placeOf.set(identity, length - 1);
    }
  }
  const { cache, islands, basePath, nonce } = state;
  if (cache !== null && islands.length > 0) {
    const { clientEntry, clientImports } = cache.snapshot;
    const modules = new Set<IslandModule>(islands.map(({ ref }) => ref.module));
    const chunks = [...modules].flatMap(({ url, imports }) => [url, ...imports]);
    for (const url of new Set([clientEntry, ...clientImports, ...chunks])) {
      elements.push(h("link", { rel: "modulepreload", href: basePath + url, nonce }));
    }
  }
  return elements;
}

/** What makes two head elements the same one (Fresh's documentation, "Avoiding duplicate tags"). */
function headIdentity({ type, key, props }: VNode<Props>): string | null {
  if (typeof type !== "string") return null;
  if (type === "title") return "title";
  if (key !== null && key !== undefined) return `key:${key}`;
  if (typeof props.id === "string") return `id:${props.id}`;
  if (type === "meta" && typeof props.name === "string") return `meta:${props.name}`;
  return null;
}

const comment = (text: string): VNode => h(Fragment, { UNSTABLE_comment: text } as Record<string, unknown>);
