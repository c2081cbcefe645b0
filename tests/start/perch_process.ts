/** `deno task start`, runner and all, as a process of its own in a home of its own. */
import { join } from "node:path";
import { Child } from "@/tests/support/child.ts";
import { root } from "@/tests/support/hub.ts";

export interface StartOptions {
  args?: string[];
  env?: Record<string, string>;
}

/** Runs start.ts to its end and gives what it printed. */
export async function runStart(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "start.ts", ...args],
    cwd: root,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

/**
 * Starts Perch with `home` as HOME (and so as the runner's root) and its data below it; `log` there keeps its stderr.
 * Resolves with the process and its URL when it serves. Dispose the process when done.
 */
export async function startPerch(
  home: string,
  { args = [], env = {} }: StartOptions = {},
): Promise<{ child: Child; url: string }> {
  const child = new Child({
    args: ["run", "-A", "--quiet", "start.ts", "--port", "0", ...args],
    cwd: root,
    env: { NO_COLOR: "1", HOME: home, DENO_DIR: await denoDir(), PERCH_DATA_DIR: join(home, ".perch"), ...env },
    logPath: join(home, "perch.log"),
  });
  const [, url = ""] = await child.line(/^Perch \S+ is at (\S+)$/, "the hub's URL");
  return { child, url };
}

/** The one-time link for the first account. */
export async function setupLink(child: Child): Promise<string> {
  const [, link = ""] = await child.line(/^Make the first account: (\S+)$/, "the set-up link");
  return link;
}

/** The cache of this deno, so that a start with another HOME downloads nothing again. */
async function denoDir(): Promise<string> {
  const info = new Deno.Command(Deno.execPath(), { args: ["info", "--json"], env: { NO_COLOR: "1" } });
  return JSON.parse(new TextDecoder().decode((await info.output()).stdout)).denoDir;
}
