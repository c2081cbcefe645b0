/** The runner's view of its folders: everything stays inside the roots, symlinks included. */
import { isAbsolute, join, normalize, sep } from "node:path";
import type { FileEntry, FileResult } from "@/protocol/mod.ts";

/** Most entries of one answer. */
export const LISTED_ENTRIES = 2_000;
/** Most names that are looked at in one folder. */
const SCANNED_ENTRIES = 50_000;
/** Longest name that an answer may hold (protocol FileEntry). */
const NAME_CHARS = 1_024;

/** A path that cannot be used; the message says why and what to do. */
export class PathError extends Error {
  override name = "PathError";
}

/** Whether a real path is a root or lies below one. Pure. */
export function isInside(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => path === root || path.startsWith(root.endsWith(sep) ? root : root + sep));
}

/**
 * The real path of `path`, which must be a directory inside the roots (real paths) after every symlink is resolved. Throws PathError.
 * What lies outside is not told apart into existing and missing.
 */
export async function resolveDirectory(path: string, roots: readonly string[]): Promise<string> {
  if (!isAbsolute(path)) throw new PathError(`path "${path}" is not absolute`);
  if (path.includes("\0")) throw new PathError("a path cannot hold a NUL character");
  let real: string;
  try {
    real = await Deno.realPath(path);
  } catch (error) {
    if (!isInside(stripTrailing(normalize(path)), roots)) throw outside(path, roots);
    throw new PathError(
      error instanceof Deno.errors.NotFound ? `path "${path}" does not exist` : `path "${path}" cannot be read`,
    );
  }
  if (!isInside(real, roots)) throw outside(path, roots);
  if (!(await Deno.stat(real)).isDirectory) throw new PathError(`path "${path}" is not a directory`);
  return real;
}

function outside(path: string, roots: readonly string[]): PathError {
  return new PathError(`path "${path}" is outside this runner's roots (${roots.join(", ")}); add it with --root`);
}

function stripTrailing(path: string): string {
  return path.length > 1 && path.endsWith(sep) ? path.slice(0, -1) : path;
}

export interface ListRequest {
  requestId: string;
  path: string;
  prefix?: string;
  directoriesOnly?: boolean;
}

/**
 * Lists a folder: directories first, then by name; names that begin with `prefix` (case is ignored); hidden ones only when the prefix
 * begins with a dot. An empty path lists the roots by their full paths. Never rejects.
 */
export async function listFiles(request: ListRequest, roots: readonly string[]): Promise<FileResult> {
  const { requestId } = request;
  try {
    if (request.path === "") return listRoots(request, roots);
    const path = await resolveDirectory(request.path, roots);
    const { names, isTruncated } = await readNames(path, request.prefix ?? "");
    const entries: FileEntry[] = [];
    for (const { name, kind } of names) {
      const entry = await describe(join(path, name), name, kind, request.directoriesOnly === true, roots);
      if (entry) entries.push(entry);
    }
    entries.sort(byKindAndName);
    const listed = entries.slice(0, LISTED_ENTRIES);
    await Promise.all(listed.map(async (entry) => {
      if (entry.kind === "directory" && await exists(join(path, entry.name, ".git"))) entry.isGitRepo = true;
    }));
    return {
      type: "file_result",
      requestId,
      ok: true,
      path,
      entries: listed,
      isTruncated: isTruncated || listed.length < entries.length,
    };
  } catch (error) {
    const message = error instanceof PathError
      ? error.message
      : `path "${request.path}" cannot be read: ${error instanceof Error ? error.message : error}`;
    return { type: "file_result", requestId, ok: false, error: message.slice(0, 2_000) };
  }
}

function listRoots(request: ListRequest, roots: readonly string[]): FileResult {
  const prefix = (request.prefix ?? "").toLowerCase();
  const entries = roots.filter((root) => root.toLowerCase().startsWith(prefix) && root.length <= NAME_CHARS)
    .map((root): FileEntry => ({ name: root, kind: "directory" }));
  return { type: "file_result", requestId: request.requestId, ok: true, entries, isTruncated: false };
}

type Kind = FileEntry["kind"];

async function readNames(
  path: string,
  prefix: string,
): Promise<{ names: { name: string; kind: Kind }[]; isTruncated: boolean }> {
  const wanted = prefix.toLowerCase();
  const names: { name: string; kind: Kind }[] = [];
  let scanned = 0;
  for await (const item of Deno.readDir(path)) {
    if (++scanned > SCANNED_ENTRIES) return { names, isTruncated: true };
    if (item.name.startsWith(".") && !wanted.startsWith(".")) continue;
    if (!item.name.toLowerCase().startsWith(wanted) || item.name.length > NAME_CHARS) continue;
    const kind = item.isSymlink ? "symlink" : item.isDirectory ? "directory" : "file";
    names.push({ name: item.name, kind });
  }
  return { names, isTruncated: false };
}

/** Null: not wanted. A symlink counts as a directory only when it leads to one inside the roots. */
async function describe(
  path: string,
  name: string,
  kind: Kind,
  directoriesOnly: boolean,
  roots: readonly string[],
): Promise<FileEntry | null> {
  if (kind !== "symlink") return directoriesOnly && kind !== "directory" ? null : { name, kind };
  try {
    const real = await Deno.realPath(path);
    const isDirectory = isInside(real, roots) && (await Deno.stat(real)).isDirectory;
    if (isDirectory) return { name, kind: "directory" };
  } catch {
    // Leads nowhere.
  }
  return directoriesOnly ? null : { name, kind };
}

function byKindAndName(a: FileEntry, b: FileEntry): number {
  const rank = (entry: FileEntry) => entry.kind === "directory" ? 0 : 1;
  return rank(a) - rank(b) || (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1);
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}
