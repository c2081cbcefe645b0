/**
 * `fresh/runtime`: what pages and islands share. Safe to import in the browser.
 *
 * @module
 */
import { type ComponentChildren, isValidElement, toChildArray } from "preact";
import { useEffect } from "preact/hooks";
import { buildId, setBuildId } from "./build_id.ts";

export { HttpError } from "./error.ts";

/** True in the browser, false on the server. */
export const IS_BROWSER: boolean = typeof document !== "undefined";

/** The query parameter that ties a URL to a build. */
export const ASSET_CACHE_BUST_KEY = "__frsh_c";

/** The URL of a static file, tied to this build, so that it may be cached for a year. Other URLs are left as they are. */
export function asset(path: string): string {
  if (!path.startsWith("/") || path.startsWith("//") || path.includes(`${ASSET_CACHE_BUST_KEY}=`)) return path;
  const [, file, query, hash] = /^([^?#]*)(\?[^#]*)?(#.*)?$/.exec(path) ?? [];
  if (file === undefined) return path;
  if (IS_BROWSER && buildId() === "dev") setBuildId(pageBuildId());
  return `${file}${query ? `${query}&` : "?"}${ASSET_CACHE_BUST_KEY}=${buildId()}${hash ?? ""}`;
}

function pageBuildId(): string {
  const state = document.getElementById("__FRESH_STATE")?.textContent;
  return state ? JSON.parse(state).b : "dev";
}

/** Applies {@linkcode asset} to each URL of a `srcset`. */
export function assetSrcSet(srcset: string): string {
  if (srcset.includes("(")) return srcset;
  return srcset.split(",").map((part) => part.replace(/\S+/, (url) => asset(url))).join(",");
}

type HeadCollector = (children: ComponentChildren) => void;
const collector: { collect: HeadCollector | null } = { collect: null };

/** Sends what `<Head>` components render on the server to `collect`, until the returned function is called. */
export function collectHead(collect: HeadCollector): () => void {
  const outer = collector.collect;
  collector.collect = collect;
  return () => {
    collector.collect = outer;
  };
}

/** Adds its children to the document's `<head>`; a later `<title>`, key, id or meta name replaces an earlier one. */
export function Head({ children }: { children?: ComponentChildren }): null {
  if (!IS_BROWSER) collector.collect?.(children);
  useEffect(() => {
    for (const child of toChildArray(children)) {
      if (isValidElement(child) && typeof child.type === "string") {
        applyToHead(child.type, child.props as Record<string, unknown>);
      }
    }
  }, [children]);
  return null;
}

function applyToHead(type: string, { children, ...attributes }: Record<string, unknown>): void {
  const text = toChildArray(children as ComponentChildren).join("");
  if (type === "title") {
    document.title = text;
    return;
  }
  const { id, name } = attributes;
  let element = typeof id === "string" ? document.getElementById(id) : null;
  if (element === null && type === "meta" && typeof name === "string") {
    element = document.head.querySelector(`meta[name="${CSS.escape(name)}"]`);
  }
  if (element === null) element = document.head.appendChild(document.createElement(type));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== "") element.textContent = text;
}
