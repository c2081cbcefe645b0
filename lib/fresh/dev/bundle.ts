import * as esbuild from "esbuild";
import { fileURLToPath } from "node:url";
import { type ImportMap, readImportMap, resolveImport } from "./import_map.ts";

/** A chunk for the browser. */
export interface ClientChunk {
  /** URL path. Contains a hash of the content. */
  url: string;
  content: Uint8Array<ArrayBuffer>;
}

/** The client code of an app. */
export interface ClientBundle {
  chunks: ClientChunk[];
  /** URL path of the hydration script, and of the chunks that it imports statically. */
  entry: BundleEntry;
  /** The same for each island, by the path of its source file. */
  islands: Map<string, BundleEntry>;
}

/** An entry point: its chunk and the chunks that it needs before it can run. */
export interface BundleEntry {
  url: string;
  imports: string[];
}

/** Options of {@linkcode bundleClient}. */
export interface BundleOptions {
  root: string;
  islandFiles: string[];
  target: string | string[];
  minify: boolean;
  sourceMap?: {
    kind?: boolean | "linked" | "inline" | "external" | "both";
    sourceRoot?: string;
    sourcesContent?: boolean;
  };
}

const CLIENT_ENTRY = fileURLToPath(import.meta.resolve("../client.ts"));

/** Where the URL paths of chunks begin. */
export const CHUNK_BASE = "/_fresh/js/";

/**
 * Bundles the hydration script and the islands with esbuild: shared code and dynamic imports become chunks of their
 * own. Rejects with esbuild's errors when an island does not compile.
 */
export async function bundleClient(options: BundleOptions): Promise<ClientBundle> {
  const map = await readImportMap(options.root);
  const outdir = "/out";
  const result = await esbuild.build({
    entryPoints: [{ in: CLIENT_ENTRY, out: "fresh-client" }, ...options.islandFiles],
    entryNames: "[name]-[hash]",
    chunkNames: "chunk-[hash]",
    assetNames: "[name]-[hash]",
    absWorkingDir: map.folder,
    outdir,
    outbase: options.root,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: options.target,
    minify: options.minify,
    treeShaking: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    sourcemap: options.sourceMap?.kind ?? false,
    sourceRoot: options.sourceMap?.sourceRoot,
    sourcesContent: options.sourceMap?.sourcesContent,
    define: { "process.env.NODE_ENV": options.minify ? '"production"' : '"development"' },
    // The app's deno.json decides, never a tsconfig.json that happens to lie about.
    tsconfigRaw: {},
    write: false,
    metafile: true,
    logLevel: "silent",
    plugins: [importMapPlugin(map)],
  });
  const urlOf = (path: string) => CHUNK_BASE + path.slice(path.lastIndexOf("/") + 1);
  const outputs = result.metafile.outputs;
  const entryOf = (output: string): BundleEntry => {
    const imports = new Set<string>();
    const visit = (path: string) => {
      for (const { path: imported, kind } of outputs[path]?.imports ?? []) {
        if (kind !== "import-statement" || imports.has(imported)) continue;
        imports.add(imported);
        visit(imported);
      }
    };
    visit(output);
    return { url: urlOf(output), imports: [...imports].map(urlOf) };
  };
  const entries = new Map<string, BundleEntry>();
  for (const [path, { entryPoint }] of Object.entries(outputs)) {
    if (entryPoint !== undefined && path.endsWith(".js")) entries.set(absolute(map.folder, entryPoint), entryOf(path));
  }
  return {
    chunks: result.outputFiles.map(({ path, contents }) => ({ url: urlOf(path), content: new Uint8Array(contents) })),
    entry: entries.get(CLIENT_ENTRY)!,
    islands: new Map(options.islandFiles.map((file) => [file, entries.get(file)!])),
  };
}

/** Ends esbuild's process, which otherwise keeps this one alive. */
export async function stopBundler(): Promise<void> {
  await esbuild.stop();
}

const absolute = (folder: string, path: string) => new URL(path, `file://${folder}/`).pathname;

function importMapPlugin(map: ImportMap): esbuild.Plugin {
  return {
    name: "deno-import-map",
    setup(build) {
      build.onResolve({ filter: /^[^./]/ }, async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (pluginData === "resolved" || kind === "entry-point") return undefined;
        // Packages resolve their own dependencies; the app's map is for the app's files.
        const fromPackage = importer.includes("/node_modules/");
        const resolution = fromPackage ? null : resolveImport(path, map);
        if (resolution?.kind === "file") return { path: resolution.path };
        const specifier = resolution?.specifier ?? path;
        return await build.resolve(specifier, {
          kind,
          importer,
          resolveDir: fromPackage ? resolveDir : map.folder,
          pluginData: "resolved",
        });
      });
    },
  };
}
