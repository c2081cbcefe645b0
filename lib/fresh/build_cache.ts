import type { ComponentType } from "preact";
import { setBuildId } from "./build_id.ts";

/** A file that `staticFiles()` serves. */
export interface StaticFile {
  /** Path relative to the root of the build. */
  path: string;
  /** Hash of the content, used as the ETag. */
  hash: string;
  contentType: string;
  /** Size in bytes, as stored and in each precompressed form that exists (`path` + ".br" or ".gz"). */
  size: number;
  br?: number;
  gzip?: number;
  /** Whether the URL itself contains a hash of the content. */
  hashed?: boolean;
}

/** An islands module and its client chunk. */
export interface IslandModule {
  /** Name for error messages, from the file. */
  name: string;
  /** URL path of the client chunk. */
  url: string;
  /** URL paths of the chunks that it imports statically. */
  imports: string[];
  module: Record<string, unknown>;
}

/** A file of the routes folder. */
export interface FsRouteFile {
  /** Path below the routes folder, with `/` separators, such as `blog/[slug].tsx`. */
  path: string;
  module: Record<string, unknown>;
}

/** What a build knows: the content of the generated `snapshot.js`. */
export interface Snapshot {
  buildId: string;
  /** URL path of the script that hydrates islands. */
  clientEntry: string;
  /** URL paths of the chunks that the client entry imports statically. */
  clientImports: string[];
  islands: IslandModule[];
  fsRoutes: FsRouteFile[];
  /** By URL path. */
  staticFiles: Map<string, StaticFile>;
  /** URL path of the live reload script; only in development. */
  liveReload?: string;
}

/** Where an island's code is, by its component. */
export interface IslandRef {
  module: IslandModule;
  exportName: string;
}

/** A build, as an app uses it. */
export interface BuildCache {
  readonly root: string;
  readonly mode: "development" | "production";
  readonly snapshot: Snapshot;
  readonly islands: Map<ComponentType, IslandRef>;
  /** Opens a stored form of a static file for streaming. */
  readFile(file: StaticFile, encoding: "br" | "gzip" | null): Promise<ReadableStream<Uint8Array>>;
}

const EXTENSION = { br: ".br", gzip: ".gz" };

/** A build on disk (or inside a compiled binary), below `root`. */
export class ProdBuildCache implements BuildCache {
  readonly islands: Map<ComponentType, IslandRef> = new Map();

  /** `memory` holds files that are not on disk, by their `path`. */
  constructor(
    readonly root: string,
    readonly snapshot: Snapshot,
    readonly mode: "development" | "production" = "production",
    private readonly memory: Map<string, Uint8Array<ArrayBuffer>> = new Map(),
  ) {
    for (const module of snapshot.islands) {
      for (const [exportName, value] of Object.entries(module.module)) {
        if (typeof value === "function") this.islands.set(value as ComponentType, { module, exportName });
      }
    }
  }

  async readFile(file: StaticFile, encoding: "br" | "gzip" | null): Promise<ReadableStream<Uint8Array>> {
    const content = this.memory.get(file.path);
    if (content !== undefined) return new Blob([content]).stream();
    const path = file.path.startsWith("/") ? file.path : `${this.root}/${file.path}`;
    const handle = await Deno.open(path + (encoding === null ? "" : EXTENSION[encoding]));
    return handle.readable;
  }
}

interface Buildable {
  useBuildCache(cache: BuildCache): void;
}

/** Gives `app` its build. The generated server does this before it asks for the app's handler. */
export function setBuildCache(app: Buildable, cache: BuildCache): void {
  setBuildId(cache.snapshot.buildId);
  app.useBuildCache(cache);
}
