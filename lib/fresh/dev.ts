/**
 * `fresh/dev`: builds the app for production and serves it in development.
 *
 * @module
 */
export { Builder, type BuildOptions } from "./dev/builder.ts";
