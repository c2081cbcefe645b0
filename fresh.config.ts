/** Configuration of the Fresh app: its folders and the headers of every response. */
import type { BuildOptions } from "fresh/dev";

/** Where the app's parts are, for the Builder. */
export const folders: BuildOptions = {
  root: import.meta.dirname,
  serverEntry: "main.ts",
  outDir: "_fresh",
};

/**
 * The content security policy beyond Fresh's defaults: no inline script or style without this page's nonce, no framing,
 * sockets to the hub itself only. `data:` and `blob:` images are attachments that a person chose or an agent sent.
 */
export const contentSecurityPolicy: string[] = [
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-src 'none'",
  "base-uri 'none'",
];

/** Headers of every response beside the policy. */
export const securityHeaders: Record<string, string> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(self), payment=()",
};
