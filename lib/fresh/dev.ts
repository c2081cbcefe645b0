/**
 * `fresh/dev`: builds the app for production and serves it in development.
 *
 * @module
 */
export { Builder, type BuildOptions, type BuildOptions as FreshBuilderOptions } from "./dev/builder.ts";
