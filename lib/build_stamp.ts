/** Tells whether the built app in `_fresh/` is that of the sources as they are now, so that an update is never served stale. */
import { createHash } from "node:crypto";
import { join } from "node:path";

/** What the build is made from, below the project's root. */
const SOURCES = [
  "islands",
  "components",
  "client",
  "protocol",
  "static",
  "routes",
  "lib/fresh",
  "fresh.config.ts",
  "deno.lock",
];
const STAMP = "_fresh/build-stamp";

/** Hash over the names and contents of everything that goes into the build. */
export async function hashSources(root: string): Promise<string> {
  const hash = createHash("sha256");
  for (const source of SOURCES) {
    for (const path of await filesOf(root, source)) {
      hash.update(`${path}\0`);
      hash.update(await Deno.readFile(join(root, path)));
    }
  }
  return hash.digest("hex");
}

/** Whether `_fresh/` was built from the present sources. */
export async function isBuildCurrent(root: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(join(root, STAMP)) === await hashSources(root);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Notes that `_fresh/` was built from the present sources. */
export async function writeBuildStamp(root: string): Promise<void> {
  await Deno.writeTextFile(join(root, STAMP), await hashSources(root));
}

/**
 * Waits until nobody else builds this checkout, then keeps others from it until it is disposed: two builds at once would empty each
 * other's output. The lock is the kernel's, so that it goes with the process.
 */
export async function lockBuild(root: string): Promise<Disposable> {
  await Deno.mkdir(join(root, ".cache"), { recursive: true });
  const file = await Deno.open(join(root, ".cache/build.lock"), { create: true, write: true });
  try {
    await file.lock(true);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

async function filesOf(root: string, path: string): Promise<string[]> {
  const info = await Deno.stat(join(root, path)).catch(() => null);
  if (info === null) return [];
  if (info.isFile) return [path];
  const names: string[] = [];
  for await (const { name } of Deno.readDir(join(root, path))) names.push(name);
  const nested = await Promise.all(names.sort().map((name) => filesOf(root, `${path}/${name}`)));
  return nested.flat();
}
