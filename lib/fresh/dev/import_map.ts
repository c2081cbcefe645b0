import { dirname, join, resolve } from "node:path";

/** Where a bare specifier leads: a file, or a package that is looked up in node_modules. */
export type Resolution = { kind: "file"; path: string } | { kind: "package"; specifier: string };

/** The `imports` of a deno.json and the folder that they are relative to. */
export interface ImportMap {
  folder: string;
  imports: Record<string, string>;
}

/** Reads the import map of the nearest deno.json at or above `folder`. Throws when there is none. */
export async function readImportMap(folder: string): Promise<ImportMap> {
  for (let at = resolve(folder);; at = dirname(at)) {
    try {
      const config = JSON.parse(await Deno.readTextFile(join(at, "deno.json")));
      return { folder: at, imports: config.imports ?? {} };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    if (dirname(at) === at) throw new Error(`No deno.json at or above ${folder}; the builder reads its imports`);
  }
}

/** Resolves `specifier` by `map`: the exact key, or else the longest key that ends with `/` and is its prefix. */
export function resolveImport(specifier: string, map: ImportMap): Resolution | null {
  if (specifier.startsWith("npm:")) return packageOf(specifier);
  let key = Object.hasOwn(map.imports, specifier) ? specifier : undefined;
  for (const candidate of key === undefined ? Object.keys(map.imports) : []) {
    if (!candidate.endsWith("/") || !specifier.startsWith(candidate)) continue;
    if (key === undefined || candidate.length > key.length) key = candidate;
  }
  if (key === undefined) return null;
  const target = map.imports[key]! + specifier.slice(key.length);
  if (target.startsWith("npm:")) return packageOf(target);
  return target.startsWith(".") || target.startsWith("/") ? { kind: "file", path: resolve(map.folder, target) } : null;
}

/** `npm:@scope/name@1.2.3/sub` as node_modules knows it: `@scope/name/sub`. */
function packageOf(specifier: string): Resolution | null {
  const match = /^npm:\/?((?:@[^/]+\/)?[^/@]+)(?:@[^/]+)?(\/.*)?$/.exec(specifier);
  return match === null ? null : { kind: "package", specifier: match[1]! + (match[2] ?? "") };
}
