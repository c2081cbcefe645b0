/** The web applications of the tunnel tests (tests/tunnel/apps): installed from npm and built into .cache/apps, once. */
import { dirname, join } from "node:path";
import { root } from "../support/hub.ts";

const sources = join(import.meta.dirname!, "apps");
const cache = join(root, ".cache/apps");
const STEP_TIMEOUT_MS = 240_000;

/** How each is built, and where it has the picture of a bundle and the one with an absolute path. */
const recipes = {
  vite: { build: null, pictures: [] },
  sveltekit: {
    build: ["node", "node_modules/vite/bin/vite.js", "build"],
    pictures: ["static/picture.png", "src/lib/bundled.png"],
  },
  next: {
    build: ["node", "node_modules/next/dist/bin/next", "build"],
    pictures: ["public/picture.png", "app/bundled.png"],
  },
} as const;

export type AppName = keyof typeof recipes;

/**
 * The folder of an application that is ready to be started. Its name holds a digest of the sources and of the pinned versions
 * in them. Rejects with what npm or the build said.
 */
export async function ensureApp(name: AppName): Promise<string> {
  const from = join(sources, name);
  const { build, pictures } = recipes[name];
  const files = await filesBelow(from);
  const folder = join(cache, `${name}-${await digestOf(from, files)}`);
  const isThere = () => Deno.stat(folder).then(() => true, () => false);
  if (await isThere()) return folder;
  await Deno.mkdir(cache, { recursive: true });
  // Made aside and moved, so that a broken or parallel attempt never counts.
  const aside = await Deno.makeTempDir({ dir: cache, prefix: `making-${name}-` });
  try {
    for (const file of files) await copy(join(from, file), join(aside, file));
    for (const file of pictures) await copy(join(root, "static/icon-32.png"), join(aside, file));
    await run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], aside);
    if (build !== null) await run([...build], aside);
    await Deno.rename(aside, folder);
  } catch (error) {
    await Deno.remove(aside, { recursive: true });
    if (!await isThere()) throw error;
  }
  return folder;
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(dirname(to), { recursive: true });
  await Deno.copyFile(from, to);
}

async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, prefix))) {
    const path = join(prefix, name);
    if (isDirectory) found.push(...await filesBelow(folder, path));
    else found.push(path);
  }
  return found.sort();
}

async function digestOf(folder: string, files: string[]): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => `${file}\0${await Deno.readTextFile(join(folder, file))}\0`),
  );
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(parts.join(""))));
  return digest.subarray(0, 6).toHex();
}

async function run([program = "", ...args]: string[], cwd: string): Promise<void> {
  const { success, code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    env: { NEXT_TELEMETRY_DISABLED: "1", NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(STEP_TIMEOUT_MS),
  }).output();
  if (success) return;
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).slice(-2_000)).join("\n");
  throw new Error(`${program} ${args.join(" ")} failed (${code}, within ${STEP_TIMEOUT_MS / 1_000} s): ${said}`);
}
