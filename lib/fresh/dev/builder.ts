import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { App } from "../app.ts";
import { ProdBuildCache, setBuildCache, type Snapshot, type StaticFile } from "../build_cache.ts";
import { isRouteFile } from "../fs_routes.ts";
import type { ListenOptions } from "../types.ts";
import { compress, contentTypeOf, hashOf } from "./assets.ts";
import { bundleClient, type BundleOptions, type ClientBundle, stopBundler } from "./bundle.ts";
import { isIslandFile, islandName, listFiles } from "./files.ts";
import { generateModules } from "./generate.ts";
import { LiveReload } from "./live_reload.ts";
import { watchFolders } from "./watch.ts";

/** Options of `new Builder()`. Relative paths are below `root`. */
export interface BuildOptions {
  /** Browsers to compile for, as esbuild names them (default: ES2022). */
  target?: string | string[];
  /** Folder of the project (default: the working directory). */
  root?: string;
  /** Module that exports `app` (default: `main.ts`). */
  serverEntry?: string;
  /** Where the build is written (default: `_fresh`). */
  outDir?: string;
  /** Static files (default: `static`). */
  staticDir?: string;
  /** Islands (default: `islands`). */
  islandDir?: string;
  /** Routes (default: `routes`). */
  routeDir?: string;
  /** Paths to leave out. */
  ignore?: RegExp[];
  /** Source maps of the client code (default: none). */
  sourceMap?: BundleOptions["sourceMap"];
}

/** Options of {@linkcode Builder.build}. */
export interface BuildRunOptions {
  /** Development builds are not minified (default: production). */
  mode?: "development" | "production";
  /** "memory" writes nothing: only the function that `build` returns knows the build (default: disk). */
  snapshot?: "disk" | "memory";
}

// An app of any state can be given a build.
// deno-lint-ignore no-explicit-any
type AnyApp = App<any>;
type Mode = "development" | "production";

/** The source files of an app and its client code. */
interface Collected {
  bundle: ClientBundle;
  islands: string[];
  routes: { path: string; file: string }[];
  /** Static files and chunks by URL path. */
  assets: { url: string; content: Uint8Array<ArrayBuffer>; hashed: boolean }[];
  buildId: string;
}

/** Builds an app for production, or serves it in development. */
export class Builder {
  readonly #options: Required<Omit<BuildOptions, "sourceMap">> & Pick<BuildOptions, "sourceMap">;
  readonly #registeredIslands: string[] = [];

  constructor(options: BuildOptions = {}) {
    const root = resolve(options.root ?? Deno.cwd());
    this.#options = {
      target: options.target ?? "es2022",
      root,
      serverEntry: resolve(root, options.serverEntry ?? "main.ts"),
      outDir: resolve(root, options.outDir ?? "_fresh"),
      staticDir: resolve(root, options.staticDir ?? "static"),
      islandDir: resolve(root, options.islandDir ?? "islands"),
      routeDir: resolve(root, options.routeDir ?? "routes"),
      ignore: options.ignore ?? [],
      sourceMap: options.sourceMap,
    };
  }

  /** Adds an island that is not in the islands folder: a path below `root` or a file URL. */
  registerIsland(specifier: string): void {
    const { root } = this.#options;
    this.#registeredIslands.push(specifier.startsWith("file:") ? fileURLToPath(specifier) : resolve(root, specifier));
  }

  /**
   * Builds the app into `outDir`, which is emptied first. Rejects when an island does not compile.
   *
   * What it writes:
   * - `server.js`: imports `app` from `serverEntry` (`main.ts`), gives it the build and exports `{ fetch }` by default.
   *   Start it with `deno serve -A _fresh/server.js`, or import it and pass its `fetch` to `Deno.serve`. That also
   *   works in Workers: each isolate imports it for itself.
   * - `compiled-entry.js`: serves `server.js` on `PORT` and `HOSTNAME`; the entry for
   *   `deno compile --include _fresh -A _fresh/compiled-entry.js`.
   * - `snapshot.js`: imports every route and island statically, and lists the static files.
   * - `static/`: the files of `staticDir` and the client chunks (`static/_fresh/js/name-hash.js`), each beside its
   *   `.br` and `.gz` forms. They are read relative to `server.js`.
   *
   * `main.ts` is the same in every mode: `export const app = new App().use(staticFiles()).fsRoutes();`. It must not
   * call `app.handler()` or `app.listen()` while it is imported, since the app is given its build after that.
   *
   * With `{ snapshot: "memory" }` nothing is written and the returned function gives an app this build; use it in tests.
   */
  async build(options: BuildRunOptions = {}): Promise<(app: AnyApp) => void> {
    const mode = options.mode ?? "production";
    try {
      const collected = await this.#collect(mode);
      if (options.snapshot === "memory") {
        const cache = await this.#memoryCache(collected, mode);
        return (app) => setBuildCache(app, cache);
      }
      await this.#write(collected);
    } finally {
      await stopBundler();
    }
    return () => {
      throw new Error(
        'A build on disk is started by its server.js; build with { snapshot: "memory" } to apply it here',
      );
    };
  }

  /**
   * Serves the app in development: builds it in memory, imports `main.ts` through `importApp`, and rebuilds the client
   * code and reloads open pages when islands or static files change. Server code that changed needs a new process; run
   * `deno run -A --watch dev.ts` for that, and open pages reload when it is back. Resolves when the server is closed.
   */
  async listen(importApp: () => Promise<{ app: AnyApp } | AnyApp>, options: ListenOptions = {}): Promise<void> {
    const reload = new LiveReload();
    const imported = await importApp();
    const app = "app" in imported ? imported.app : imported;
    const current = { handler: await this.#devHandler(app) };
    const { staticDir, islandDir, routeDir, root } = this.#options;
    const folders = [staticDir, islandDir, routeDir, join(root, "components")];
    using _watcher = watchFolders(folders, async () => {
      try {
        current.handler = await this.#devHandler(app);
        reload.notify();
      } catch (error) {
        console.error(error);
      }
    });
    try {
      await Deno.serve(options as Deno.ServeTcpOptions, (request, info) => {
        const path = new URL(request.url).pathname.slice(app.config.basePath.length);
        return path === LiveReload.path ? reload.response() : current.handler(request, info);
      }).finished;
    } finally {
      reload.close();
      await stopBundler();
    }
  }

  async #devHandler(app: AnyApp): Promise<ReturnType<AnyApp["handler"]>> {
    setBuildCache(app, await this.#memoryCache(await this.#collect("development"), "development"));
    return app.handler();
  }

  async #collect(mode: Mode): Promise<Collected> {
    const { root, target, staticDir, islandDir, routeDir, ignore, sourceMap } = this.#options;
    const [islandPaths, routePaths, staticPaths] = await Promise.all(
      [islandDir, routeDir, staticDir].map((folder) => listFiles(folder, ignore)),
    );
    const islands = [
      ...islandPaths!.filter(isIslandFile).map((path) => join(islandDir, path)),
      ...routePaths!.filter((path) => path.includes("(_islands)/") && isIslandFile(path)).map((path) =>
        join(routeDir, path)
      ),
      ...this.#registeredIslands,
    ];
    const routes = routePaths!.filter(isRouteFile).map((path) => ({ path, file: join(routeDir, path) }));
    const bundle = await bundleClient({ root, target, sourceMap, islandFiles: islands, minify: mode === "production" });
    const assets = [
      ...await Promise.all(staticPaths!.map(async (path) => ({
        url: `/${path}`,
        content: await Deno.readFile(join(staticDir, path)),
        hashed: false,
      }))),
      ...(islands.length === 0 ? [] : bundle.chunks).map(({ url, content }) => ({ url, content, hashed: true })),
    ];
    const buildId = hashOf(assets.map(({ url, content }) => `${url}\n${hashOf(content)}\n`).join(""));
    return { bundle, islands, routes, assets, buildId };
  }

  async #memoryCache({ bundle, islands, routes, assets, buildId }: Collected, mode: Mode): Promise<ProdBuildCache> {
    const load = (file: string): Promise<Record<string, unknown>> => import(pathToFileURL(file).href);
    const memory = new Map<string, Uint8Array<ArrayBuffer>>();
    const staticFiles = new Map<string, StaticFile>();
    const scripts = [...assets];
    if (mode === "development") {
      scripts.push({ url: LIVE_RELOAD_URL, content: new TextEncoder().encode(LiveReload.script), hashed: true });
    }
    for (const { url, content, hashed } of scripts) {
      memory.set(url, content);
      const contentType = contentTypeOf(url);
      staticFiles.set(url, { path: url, hash: hashOf(content), contentType, size: content.length, hashed });
    }
    const snapshot: Snapshot = {
      buildId,
      clientEntry: bundle.entry.url,
      clientImports: bundle.entry.imports,
      islands: await Promise.all(
        islands.map(async (file) => ({
          ...bundle.islands.get(file)!,
          name: islandName(file),
          module: await load(file),
        })),
      ),
      fsRoutes: await Promise.all(routes.map(async ({ path, file }) => ({ path, module: await load(file) }))),
      staticFiles,
      liveReload: mode === "development" ? LIVE_RELOAD_URL : undefined,
    };
    return new ProdBuildCache(this.#options.root, snapshot, mode, memory);
  }

  async #write({ bundle, islands, routes, assets, buildId }: Collected): Promise<void> {
    const { outDir, serverEntry } = this.#options;
    await Deno.mkdir(outDir, { recursive: true });
    for await (const entry of Deno.readDir(outDir)) await Deno.remove(join(outDir, entry.name), { recursive: true });
    const staticFiles = new Map<string, StaticFile>();
    for (const { url, content, hashed } of assets) {
      const path = `static${url}`;
      const contentType = contentTypeOf(url);
      const { br, gzip } = await compress(content, contentType);
      await Deno.mkdir(join(outDir, dirname(path)), { recursive: true });
      await Deno.writeFile(join(outDir, path), content);
      if (br) await Deno.writeFile(join(outDir, `${path}.br`), br);
      if (gzip) await Deno.writeFile(join(outDir, `${path}.gz`), gzip);
      const sizes = { size: content.length, br: br?.length, gzip: gzip?.length };
      staticFiles.set(url, { path, hash: hashOf(content), contentType, ...sizes, hashed });
    }
    const modules = generateModules({
      ...{ outDir, serverEntry, buildId, routes, staticFiles },
      client: bundle.entry,
      islands: islands.map((file) => ({ name: islandName(file), file, entry: bundle.islands.get(file)! })),
    });
    for (const [name, code] of Object.entries(modules)) await Deno.writeTextFile(join(outDir, name), code);
  }
}

const LIVE_RELOAD_URL = "/_fresh/live-reload.js";
