/** What a browser loads before a page works: its scripts with everything that they import statically, and its styles. */
import { get } from "node:http";

/** Fetches a path and gives its text and how many bytes travelled. */
export type Fetcher = (path: string) => Promise<{ text: string; bytes: number }>;

export interface PageWeight {
  /** Bytes of every script, as served. */
  scriptBytes: number;
  styleBytes: number;
  scripts: string[];
  styles: string[];
}

/** Follows a page's script and style elements, preloads and inline module imports. Lazily imported chunks do not count. */
export async function weighPage(html: string, fetchText: Fetcher): Promise<PageWeight> {
  const weight: PageWeight = { scriptBytes: 0, styleBytes: 0, scripts: [], styles: [] };
  for (const path of stylesOf(html)) {
    weight.styles.push(path);
    weight.styleBytes += (await fetchText(path)).bytes;
  }
  const waiting = scriptsOf(html);
  const seen = new Set<string>();
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const { text, bytes } = await fetchText(path);
    weight.scripts.push(path);
    weight.scriptBytes += bytes;
    waiting.push(...staticImports(text).map((specifier) => pathOf(specifier, path)));
  }
  return weight;
}

function stylesOf(html: string): string[] {
  return [...html.matchAll(/<link\b[^>]*>/g)].flatMap(([tag]) =>
    attribute(tag, "rel") === "stylesheet" ? attribute(tag, "href") ?? [] : []
  );
}

function scriptsOf(html: string): string[] {
  const found: string[] = [];
  for (const [tag] of html.matchAll(/<link\b[^>]*>/g)) {
    const href = attribute(tag, "href");
    if (attribute(tag, "rel") === "modulepreload" && href !== undefined) found.push(href);
  }
  for (const [, tag = "", body = ""] of html.matchAll(/(<script\b[^>]*>)(.*?)<\/script>/gs)) {
    const source = attribute(tag, "src");
    if (source !== undefined) found.push(source);
    else if (attribute(tag, "type") === "module") {
      found.push(...staticImports(body).map((specifier) => pathOf(specifier, "/")));
    }
  }
  return found;
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1]?.replaceAll("&amp;", "&");
}

/** Specifiers of `import … from "x"`, `import "x"` and `export … from "x"`; not those of `import("x")`. */
export function staticImports(code: string): string[] {
  const pattern =
    /(?:^|[;\n}])\s*(?:import|export)\b\s*(?:[\w$*{}\s,]*?\bfrom\s*|[\w$*{},\s]*?}\s*from\s*)?["']([^"'\n]+)["']/g;
  return [...code.matchAll(pattern)].map(([, specifier]) => specifier!);
}

function pathOf(specifier: string, from: string): string {
  const url = new URL(specifier, new URL(from, "http://page.invalid"));
  return url.pathname + url.search;
}

/** Fetches from a server as a browser that takes gzip, and counts bytes as they travel. */
export function gzipFetcher(baseUrl: string, headers: Record<string, string>): Fetcher {
  return async (path) => {
    const { status, encoding, body } = await new Promise<{ status: number; encoding?: string; body: Uint8Array }>(
      (resolve, reject) => {
        get(new URL(path, baseUrl), { headers: { ...headers, "accept-encoding": "gzip" } }, (response) => {
          const parts: Uint8Array[] = [];
          response.on("data", (part: Uint8Array) => parts.push(part));
          response.on("error", reject);
          response.on("end", async () =>
            resolve({
              status: response.statusCode ?? 0,
              encoding: response.headers["content-encoding"],
              body: new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()),
            }));
        }).on("error", reject);
      },
    );
    if (status !== 200) throw new Error(`${path} answered with status ${status}`);
    const stream = new Blob([body as BlobPart]).stream();
    const plain = encoding === "gzip" ? stream.pipeThrough(new DecompressionStream("gzip")) : stream;
    return { text: await new Response(plain).text(), bytes: body.length };
  };
}
