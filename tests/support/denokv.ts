/** A real KV Connect server (`denokv`) as a process of its own, and where its program comes from. */
import { homedir } from "node:os";
import { join } from "node:path";
import { eventually, within } from "./patience.ts";

/** Version that is installed when there is none on this machine. */
const DENOKV_VERSION = "0.14.0";
/** Building it takes a quarter of an hour on two cores; the folder is kept for the next run. */
const INSTALL_MS = 25 * 60_000;

/**
 * The `denokv` program: DENOKV_BIN, one on PATH, one that was installed before, or, where there is cargo, one that is built now
 * into the user's cache folder, where the next clone finds it. Null when there is none; why is said on stdout.
 */
export async function findDenokv(): Promise<string | null> {
  const given = Deno.env.get("DENOKV_BIN");
  const caches = Deno.env.get("XDG_CACHE_HOME") || join(homedir(), ".cache");
  const folder = join(caches, "perch", `denokv-${DENOKV_VERSION}`);
  const installed = join(folder, "bin", "denokv");
  for (const program of [...(given ? [given] : []), "denokv", installed]) {
    if (await runs([program, "--help"])) return program;
    if (program === given) throw new Error(`DENOKV_BIN is "${given}", which cannot be run`);
  }
  if (!await runs(["cargo", "--version"])) {
    console.log(
      "CLUSTER TESTS LEFT OUT: there is no denokv on PATH, none named by DENOKV_BIN, and no cargo to build one with.",
    );
    return null;
  }
  console.log(`building denokv ${DENOKV_VERSION} into ${folder} (once; up to ${INSTALL_MS / 60_000} minutes) …`);
  const build = new Deno.Command("cargo", {
    args: ["install", "denokv", "--locked", "--version", DENOKV_VERSION, "--root", folder],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => build.kill("SIGKILL"), INSTALL_MS);
  const { success, stderr } = await build.output();
  clearTimeout(timer);
  if (success) return installed;
  const lastWords = new TextDecoder().decode(stderr).slice(-1_500);
  console.log(`CLUSTER TESTS LEFT OUT: denokv could not be built; the end of cargo's output:\n${lastWords}`);
  return null;
}

async function runs([program, ...args]: [string, ...string[]]): Promise<boolean> {
  try {
    const command = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" });
    return (await command.output()).success;
  } catch {
    return false;
  }
}

/** One server on a temporary SQLite file. Dispose it: the process and the file go. */
export class Denokv implements AsyncDisposable {
  readonly token = "a-token-for-tests-0123456789";
  readonly #program: string;
  readonly #dir: string;
  readonly port: number;
  #process: Deno.ChildProcess | null = null;

  private constructor(program: string, dir: string, port: number) {
    this.#program = program;
    this.#dir = dir;
    this.port = port;
  }

  static async start(program: string): Promise<Denokv> {
    const server = new Denokv(program, await Deno.makeTempDir({ prefix: "perch-denokv-" }), freePort());
    try {
      await server.start();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it on the same file and port as before. Resolves when it takes connections. */
  async start(): Promise<void> {
    this.#process = new Deno.Command(this.#program, {
      args: ["--sqlite-path", join(this.#dir, "kv.sqlite3"), "serve", "--addr", `127.0.0.1:${this.port}`],
      env: { DENO_KV_ACCESS_TOKEN: this.token },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await eventually(async () => {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port: this.port })).close();
        return true;
      } catch {
        return false;
      }
    }, "a denokv that listens");
  }

  async kill9(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    process.kill("SIGKILL");
    await within(process.status, "the end of denokv");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill9();
    await Deno.remove(this.#dir, { recursive: true }).catch(() => {});
  }
}

/**
 * A port that nobody listens on now, below those that the system gives to outgoing connections: one of these could be taken
 * before the process that it is meant for has opened it.
 */
export function freePort(): number {
  for (;;) {
    try {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 20_000 + Math.floor(Math.random() * 12_000) });
      return listener.addr.port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
