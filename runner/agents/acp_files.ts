/** ACP's fs/read_text_file and fs/write_text_file, served inside the session's working directory and nowhere else. */
import { RequestError } from "@agentclientprotocol/sdk";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import { integerOf, objectOf, stringOf } from "./read.ts";

/** Largest file read or written through the client, in bytes. */
export const maxFileBytes = 8 * 1024 * 1024;

/** `fs/read_text_file`: params {path, line?, limit?} (line from 1). Throws RequestError. */
export async function readTextFile(cwd: string, params: unknown): Promise<{ content: string }> {
  const { path, line, limit } = objectOf(params);
  const real = await realPathInside(cwd, stringOf(path) ?? "", false);
  const info = await Deno.stat(real);
  if (!info.isFile) throw RequestError.invalidParams({ path }, `"${path}" is not a file`);
  if (info.size > maxFileBytes) {
    throw RequestError.invalidParams({ path }, `"${path}" has ${info.size} bytes, more than ${maxFileBytes}`);
  }
  const text = await Deno.readTextFile(real);
  const first = integerOf(line);
  const count = integerOf(limit);
  if (first === undefined && count === undefined) return { content: text };
  const start = Math.max(0, (first ?? 1) - 1);
  const lines = text.split("\n");
  return { content: lines.slice(start, count === undefined ? undefined : start + count).join("\n") };
}

/** `fs/write_text_file`: params {path, content}. The folder must exist. Throws RequestError. */
export async function writeTextFile(cwd: string, params: unknown): Promise<Record<string, never>> {
  const { path, content } = objectOf(params);
  if (typeof content !== "string") throw RequestError.invalidParams({ path }, "content must be a string");
  const bytes = new TextEncoder().encode(content);
  if (bytes.byteLength > maxFileBytes) {
    throw RequestError.invalidParams({ path }, `content has ${bytes.byteLength} bytes, more than ${maxFileBytes}`);
  }
  await Deno.writeFile(await realPathInside(cwd, stringOf(path) ?? "", true), bytes);
  return {};
}

/** The real path behind `path`, which must lie inside `cwd` (itself a real path), symlinks followed. */
async function realPathInside(cwd: string, path: string, mayBeNew: boolean): Promise<string> {
  if (!isAbsolute(path)) throw RequestError.invalidParams({ path }, `path "${path}" must be absolute`);
  let real: string;
  try {
    real = await Deno.realPath(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    // A dangling symlink would be followed by the write: it counts as outside.
    const isLink = await Deno.lstat(path).then(() => true, () => false);
    if (!mayBeNew || isLink) throw RequestError.resourceNotFound(path);
    const folder = await Deno.realPath(dirname(path)).catch(() => null);
    if (folder === null) throw RequestError.resourceNotFound(dirname(path));
    real = join(folder, basename(path));
  }
  const root = cwd.endsWith(sep) ? cwd : cwd + sep;
  if (!real.startsWith(root)) {
    throw RequestError.invalidParams({ path }, `path "${path}" is outside the session's folder ${cwd}`);
  }
  return real;
}
