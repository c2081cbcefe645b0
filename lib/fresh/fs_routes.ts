import type { Command } from "./app.ts";
import type { FsRouteFile } from "./build_cache.ts";
import { routeHandlers } from "./segments.ts";
import type { LayoutConfig, MiddlewareFn, Route, RouteComponent, RouteConfig, RouteHandler } from "./types.ts";

/** A command that is not itself `fsRoutes`. */
export type FsRouteCommand<State> = Exclude<Command<State>, { type: "fsRoutes" }>;

const SPECIAL_ORDER = ["_app", "_error", "_500", "_404", "_middleware", "_layout"];

/** Whether a file below the routes folder is a route or one of the special files. Tests and `(_name)` folders are not. */
export function isRouteFile(path: string): boolean {
  return /\.[jt]sx?$/.test(path) && !/[._]test\.[jt]sx?$/.test(path) && !path.endsWith(".d.ts") &&
    !/(^|\/)\(_[^/]*\)\//.test(path);
}

/** The URL pattern of a route file: `blog/[slug].tsx` gives `/blog/:slug`. Throws on malformed brackets. */
export function pathToPattern(path: string): string {
  let pattern = "";
  for (const part of stem(path).split("/")) {
    if (isGroup(part)) continue;
    if (part === "index" && part === stem(path).split("/").at(-1)) continue;
    pattern += segmentPattern(part, path);
  }
  return pattern === "" ? "/" : pattern;
}

function segmentPattern(part: string, path: string): string {
  const rest = /^\[\.\.\.(\w+)\]$/.exec(part);
  if (rest) return `/:${rest[1]}*`;
  const optional = /^\[\[(\w+)\]\]$/.exec(part);
  if (optional) return `{/:${optional[1]}}?`;
  const replaced = part.replaceAll(/\[(\w+)\]/g, ":$1");
  if (/[[\]]/.test(replaced)) {
    throw new SyntaxError(
      `Route file "${path}": "${part}" has unbalanced or unknown brackets; expected [name], [[name]] or [...name]`,
    );
  }
  return `/${replaced}`;
}

/** The commands that the files of the routes folder stand for: what is inherited first, then routes by specificity. */
export function fsRouteCommands<State>(files: FsRouteFile[]): FsRouteCommand<State>[] {
  const special: FsRouteFile[] = [];
  const routes: FsRouteFile[] = [];
  for (const file of files) (SPECIAL_ORDER.includes(baseName(file.path)) ? special : routes).push(file);
  special.sort((a, b) =>
    depth(a.path) - depth(b.path) ||
    SPECIAL_ORDER.indexOf(baseName(a.path)) - SPECIAL_ORDER.indexOf(baseName(b.path))
  );
  routes.sort((a, b) => compareRoutePaths(a.path, b.path));
  return [...special.map((file) => specialCommand<State>(file)), ...routes.map((file) => routeCommand<State>(file))];
}

function specialCommand<State>({ path, module }: FsRouteFile): FsRouteCommand<State> {
  const folder = folderSegments(path);
  const component = module.default as RouteComponent<unknown, State> | undefined;
  const name = baseName(path);
  if (name === "_middleware") {
    const exported = module.handler ?? module.handlers ?? module.default;
    if (exported === undefined) throw noExports(path, "a middleware: export default, handler or handlers");
    return { type: "middleware", path: folder, middlewares: [exported].flat() as MiddlewareFn<State>[] };
  }
  if (name === "_app" || name === "_layout") {
    if (component === undefined) throw noExports(path, "a default export that is a component");
    if (name === "_app") return { type: "app", path: folder, component };
    return { type: "layout", path: folder, component, config: (module.config as LayoutConfig | undefined) ?? {} };
  }
  const handlers = routeHandlers(asRoute<State>({ path, module }));
  const handler = handlers.get("ALL") ?? handlers.get("GET")!;
  return name === "_404" ? { type: "notFound", handler } : { type: "error", path: folder, handler };
}

function routeCommand<State>(file: FsRouteFile): FsRouteCommand<State> {
  const route = asRoute<State>(file);
  const pattern = route.config?.routeOverride ?? pathToPattern(file.path);
  const handlers = new Map([...routeHandlers(route)].map(([method, handler]) => [method, [handler]]));
  return { type: "handlers", path: folderSegments(file.path, true), pattern, handlers };
}

function asRoute<State>({ path, module }: FsRouteFile): Route<State> {
  const handlers = (module.handlers ?? module.handler) as RouteHandler<unknown, State> | undefined;
  const component = module.default as RouteComponent<unknown, State> | undefined;
  if (handlers === undefined && component === undefined) {
    throw noExports(path, "a default export that is a component, or handlers");
  }
  return { component, handlers, config: module.config as RouteConfig | undefined };
}

function noExports(path: string, expected: string): TypeError {
  return new TypeError(`Route file "${path}" has no relevant exports; expected ${expected}`);
}

/** The place of a file in the tree of segments. Groups stay in it, so that their layouts hold for their files only. */
function folderSegments(path: string, withFile = false): string {
  const parts = stem(path).split("/");
  const name = parts.pop()!;
  if (withFile && name !== "index") parts.push(name);
  return parts.map((part) => isGroup(part) ? `/${part}` : segmentPattern(part, path).replace(/^\{(.*)\}\?$/, "$1"))
    .join("") || "/";
}

/** Orders route files by specificity, segment by segment: literal, `[param]`, `[[optional]]`, `[...rest]`. */
export function compareRoutePaths(a: string, b: string): number {
  const [left, right] = [a, b].map((path) => stem(path).split("/").filter((part) => !isGroup(part)));
  for (let i = 0; i < Math.max(left!.length, right!.length); i++) {
    const [one, other] = [left![i], right![i]];
    if (one === undefined || other === undefined) return one === undefined ? -1 : 1;
    if (one === other) continue;
    return rank(one) - rank(other) || (one < other ? -1 : 1);
  }
  return 0;
}

function rank(part: string): number {
  if (part.startsWith("[...")) return 3;
  if (part.startsWith("[[")) return 2;
  return part.includes("[") ? 1 : 0;
}

const stem = (path: string) => path.replace(/\.[jt]sx?$/, "");
const baseName = (path: string) => stem(path).split("/").at(-1)!;
const depth = (path: string) => path.split("/").length;
const isGroup = (part: string) => part.startsWith("(") && part.endsWith(")");
