/**
 * What the generated `_fresh/server.js` imports. Not part of the public API.
 *
 * @module
 */
export { ProdBuildCache, setBuildCache, type Snapshot } from "./build_cache.ts";
