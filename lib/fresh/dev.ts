/**
 * `fresh/dev`: builds the app for production and serves it in development.
 *
 * @module
 */
export { Builder, type BuildOptions, type FreshBuilderOptions } from "./dev/builder.ts";
