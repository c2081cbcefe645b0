/**
 * `deno task compile [--output <path>]`: makes dist/perch, the runner as one program with all that it needs inside. Its base
 * binary (denort) is DENORT_BIN's, else a `denort` of the PATH, else the one that deno downloads.
 */
import { dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { PERCH_VERSION } from "@/protocol/mod.ts";
import config from "../deno.json" with { type: "json" };

const root = join(import.meta.dirname!, "..");

/** Exit codes: 1 the program could not be compiled; 2 wrong usage; 3 there is no base binary to be had. */
export const exitCodes = { failed: 1, usage: 2, noBase: 3 } as const;

/** The npm package with node-pty's binary for this platform: loaded by a name that is made at run time, so it must be named. */
function ptyBinary(): string {
  const [, name, version] = /^npm:(.+)@([^@]+)$/.exec(config.imports["node-pty"]) ?? [];
  return `npm:${name}-${process.platform}-${process.arch}@${version}`;
}

/** Arguments of `deno` that compile the runner: only the npm packages that it needs go in. */
export function compileArgs(output: string): string[] {
  return [
    "compile",
    "--allow-all",
    "--no-check",
    "--node-modules-dir=none",
    "--exclude-unused-npm",
    "--include",
    ptyBinary(),
    "--output",
    output,
    join(root, "runner/main.ts"),
  ];
}

/** A sentence and the exit code that goes with it. */
class CompileError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

const outOfReach = (reason: string) =>
  new CompileError(
    exitCodes.noBase,
    `there is no base binary: ${reason}. Get denort ${Deno.version.deno} for this platform and name it in DENORT_BIN`,
  );

async function compile(output: string): Promise<void> {
  const base = Deno.env.get("DENORT_BIN") || await onPath("denort");
  console.error(`perch: compiling on ${base ?? "the base binary that deno downloads"} …`);
  await Deno.mkdir(dirname(output), { recursive: true });
  const { success, stderr } = await run(Deno.execPath(), compileArgs(output), base ? { DENORT_BIN: base } : {});
  if (!success) {
    if (!/base binary|Could not find denort/.test(stderr)) {
      throw new CompileError(exitCodes.failed, `the runner could not be compiled:\n${stderr}`);
    }
    throw outOfReach(base ? `"${base}" cannot be used` : "deno could not download it");
  }
  const made = await run(output, ["--version"], {});
  if (made.stdout.trim() === `perch ${PERCH_VERSION}`) return;
  await Deno.remove(output);
  if (made.stdout.startsWith("deno ")) {
    throw outOfReach(`"${base}" is the deno command itself, which runs no program inside it`);
  }
  throw new CompileError(
    exitCodes.failed,
    `the compiled program does not run; is the base binary of version ${Deno.version.deno}? It said: ${
      made.stdout + made.stderr
    }`,
  );
}

async function run(
  program: string,
  args: string[],
  env: Record<string, string>,
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const output = await new Deno.Command(program, { args, cwd: root, env: { ...env, NO_COLOR: "1" }, stdin: "null" })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success: output.success, stdout: text(output.stdout), stderr: text(output.stderr) };
}

async function onPath(program: string): Promise<string | null> {
  const name = Deno.build.os === "windows" ? `${program}.exe` : program;
  for (const folder of (Deno.env.get("PATH") ?? "").split(Deno.build.os === "windows" ? ";" : ":")) {
    if (folder === "") continue;
    const info = await Deno.stat(join(folder, name)).catch(() => null);
    if (info?.isFile) return join(folder, name);
  }
  return null;
}

function outputOf(args: string[]): string {
  const name = Deno.build.os === "windows" ? "perch.exe" : "perch";
  try {
    const { values } = parseArgs({ args, options: { output: { type: "string" } }, allowPositionals: false });
    return values.output || join(root, "dist", name);
  } catch (error) {
    throw new CompileError(
      exitCodes.usage,
      `${(error as Error).message.split(". ")[0]}; usage: compile [--output <path>]`,
    );
  }
}

if (import.meta.main) {
  try {
    const output = outputOf(Deno.args);
    await compile(output);
    const { size } = await Deno.stat(output);
    console.log(`${output} (${(size / 1_048_576).toFixed(0)} MiB)`);
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    console.error(`perch: ${error.message}`);
    Deno.exit(error.code);
  }
}
