import type { FunctionComponent } from "preact";
import { ProdBuildCache, type Snapshot } from "../build_cache.ts";

/** A build for tests that has these route modules (by path below the routes folder), islands and static files. */
export function testBuild(parts: {
  routes?: Record<string, Record<string, unknown>>;
  // An island of any props.
  // deno-lint-ignore no-explicit-any
  islands?: Record<string, FunctionComponent<any>>;
  files?: Record<string, string>;
  mode?: "development" | "production";
}): ProdBuildCache {
  const memory = new Map<string, Uint8Array<ArrayBuffer>>();
  const staticFiles: Snapshot["staticFiles"] = new Map();
  for (const [path, text] of Object.entries(parts.files ?? {})) {
    const content = new TextEncoder().encode(text);
    memory.set(path, content);
    staticFiles.set(path, { path, hash: "123", contentType: "text/css; charset=utf-8", size: content.length });
  }
  const snapshot: Snapshot = {
    buildId: "test-build",
    clientEntry: "/_fresh/js/client.js",
    clientImports: ["/_fresh/js/chunk.js"],
    islands: Object.entries(parts.islands ?? {}).map(([name, component]) => ({
      name,
      url: `/_fresh/js/${name}.js`,
      imports: ["/_fresh/js/chunk.js"],
      module: { default: component },
    })),
    fsRoutes: Object.entries(parts.routes ?? {}).map(([path, module]) => ({ path, module })),
    staticFiles,
  };
  return new ProdBuildCache("/nowhere", snapshot, parts.mode, memory);
}
