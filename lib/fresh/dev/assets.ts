import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { getMimeType } from "hono/utils/mime";

const MIN_COMPRESSED_BYTES = 256;
const COMPRESSIBLE = /^text\/|^image\/svg|javascript|json|xml|wasm|manifest/;

/** The content type of a file, from its name. */
export function contentTypeOf(path: string): string {
  if (/\.m?js$/.test(path)) return "text/javascript; charset=utf-8";
  if (path.endsWith(".map")) return "application/json";
  return getMimeType(path) ?? "application/octet-stream";
}

/** A short hash of `content`. */
export function hashOf(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex").slice(0, 20);
}

/** The compressed forms of a file that are worth storing; neither for small files and for formats that are compressed. */
export async function compress(
  content: Uint8Array,
  contentType: string,
): Promise<{ br?: Uint8Array; gzip?: Uint8Array }> {
  if (content.length < MIN_COMPRESSED_BYTES || !COMPRESSIBLE.test(contentType)) return {};
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
    promisify(gzip)(content, { level: 9 }),
  ]);
  return {
    ...(br.length < content.length ? { br } : {}),
    ...(gz.length < content.length ? { gzip: gz } : {}),
  };
}
