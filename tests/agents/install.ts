/** Installs real agents from npm into .cache/agents, once, with bounded time and a clear failure. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const cache = fileURLToPath(new URL("../../.cache/agents/", import.meta.url));
const installTimeoutMs = 240_000;

export type RealAgent = "pi" | "kimi";

/** Program and arguments that start the agent in the mode that its adapter drives. */
const commands: Record<
  RealAgent,
  { folder: string; entry: string; args: string[]; install(folder: string): Promise<void> }
> = {
  pi: {
    folder: "pi-1.5.2",
    entry: "package/dist/bundle/rpc-entry.js",
    args: [],
    // The published tarball holds all that it needs; its registry dependencies are not complete everywhere.
    install: async (folder) => {
      await run(["npm", "pack", "@earendil-works/pi-coding-agent@1.5.2", "--silent"], folder);
      await run(["tar", "xzf", "earendil-works-pi-coding-agent-1.5.2.tgz"], folder);
      // What pi loads extensions with.
      await run([
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--prefix",
        folder,
        "jiti@2.7.0",
        "@silvia-odwyer/photon-node@0.3.4",
      ], folder);
    },
  },
  kimi: {
    folder: "kimi-2.1.0",
    entry: "node_modules/@moonshot-ai/kimi-code/dist/main.mjs",
    args: ["acp"],
    install: (folder) =>
      run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, "@moonshot-ai/kimi-code@2.1.0"], folder),
  },
};

/** The command of an installed agent, run by deno. Installs it if it is not there; rejects with what npm said. */
export async function ensureAgent(name: RealAgent): Promise<string[]> {
  const { folder, entry, args, install } = commands[name];
  const home = join(cache, folder);
  const path = join(home, entry);
  const isThere = () => Deno.stat(path).then((info) => info.isFile, () => false);
  if (!await isThere()) {
    await Deno.mkdir(cache, { recursive: true });
    // Installed aside and moved, so that a broken or parallel install never counts as one.
    const aside = await Deno.makeTempDir({ dir: cache, prefix: `${folder}-` });
    await install(aside);
    await Deno.rename(aside, home).catch(async (error) => {
      await Deno.remove(aside, { recursive: true });
      if (!await isThere()) throw error;
    });
  }
  if (!await isThere()) throw new Error(`${name} was installed, but ${path} is not there`);
  return [Deno.execPath(), "run", "-A", "--no-config", "--node-modules-dir=manual", path, ...args];
}

async function run(command: string[], cwd: string): Promise<void> {
  const [program = "", ...args] = command;
  const output = await new Deno.Command(program, {
    args,
    cwd,
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(installTimeoutMs),
  }).output();
  if (output.success) return;
  const said = new TextDecoder().decode(output.stderr).slice(-2_000);
  throw new Error(
    `${command.join(" ")} failed (exit code ${output.code}, within ${installTimeoutMs / 1000} s): ${said}`,
  );
}
