import { basename, join, relative, sep } from "node:path";

/** Paths of the files below `folder`, relative to it with `/` separators, sorted. Empty when there is no folder. */
export async function listFiles(folder: string, ignore: RegExp[] = []): Promise<string[]> {
  const found: string[] = [];
  const visit = async (path: string): Promise<void> => {
    for await (const entry of Deno.readDir(path)) {
      const full = join(path, entry.name);
      if (ignore.some((pattern) => pattern.test(full))) continue;
      if (entry.isDirectory) await visit(full);
      else if (entry.isFile) found.push(relative(folder, full).split(sep).join("/"));
    }
  };
  try {
    await visit(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && found.length === 0) return [];
    throw error;
  }
  return found.sort();
}

/** Whether a file below the islands folder is an island. */
export function isIslandFile(path: string): boolean {
  return /\.[jt]sx?$/.test(path) && !/[._]test\.[jt]sx?$/.test(path) && !path.endsWith(".d.ts");
}

/** The name of an island, from its file: `islands/my-island.tsx` is `my-island`. */
export function islandName(path: string): string {
  return basename(path).replace(/\.[jt]sx?$/, "").replaceAll(/[^\w-]/g, "_");
}
