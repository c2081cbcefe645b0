/**
 * `deno task start`: one command from a fresh clone to a hub with an embedded database and a runner beside it.
 * Builds the app when that is needed, serves it, prints where it is, and stops everything on Ctrl-C.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { renderUnicodeCompact } from "uqr";
import { isBuildCurrent, lockBuild } from "@/lib/build_stamp.ts";
import { ConfigError, type HubEnvironment, localUrl, readEnvironment } from "@/lib/config.ts";
import { PERCH_VERSION } from "@/protocol/mod.ts";
import { startIsolates } from "./isolates.ts";

const USAGE = `Usage: deno task start [options]

Starts a Perch hub with an embedded database, and a runner for this machine beside it.

Options:
  --host <address>    address to listen on (PERCH_HOST, default 127.0.0.1; 0.0.0.0 for every network)
  --port <number>     port to listen on (PERCH_PORT, default 7700; 0 picks a free one)
  --data-dir <path>   where the database and the runner's state are kept (PERCH_DATA_DIR, default ~/.perch)
  --no-runner         start the hub alone
  --help, --version

Environment: PERCH_PUBLIC_URL, PERCH_HOST_NAMES, PERCH_TRUST_PROXY=1, PERCH_OPEN_SIGNUP=1, PERCH_ISOLATES, PERCH_KV_URL,
PERCH_LOG_LEVEL, PERCH_METRICS_TOKEN, PERCH_DRAIN_MS; see docs/configuration.md`;

const root = import.meta.dirname!;
/** How long the runner may take to stop its sessions. */
const RUNNER_STOP_MS = 15_000;
/** How long closing may take beyond draining, with a database that may not answer. */
const CLOSE_MS = 15_000;

/** Prints one sentence and ends the process. 2: an option cannot be used; 1: anything else. */
function fail(message: string, code: 1 | 2 = 1): never {
  console.error(`perch: ${message}`);
  Deno.exit(code);
}

function parseOptions() {
  try {
    const { values } = parseArgs({
      args: Deno.args.filter((arg, index) => !(index === 0 && arg === "--")),
      options: {
        host: { type: "string" },
        port: { type: "string" },
        "data-dir": { type: "string" },
        "no-runner": { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
      allowPositionals: false,
    });
    return values;
  } catch (error) {
    fail(`${(error as Error).message.split(". ")[0]}; see --help`, 2);
  }
}

function readOptions(options: ReturnType<typeof parseOptions>): HubEnvironment {
  const given = { PERCH_HOST: options.host, PERCH_PORT: options.port, PERCH_DATA_DIR: options["data-dir"] };
  const flags: Record<string, string> = { PERCH_HOST: "--host", PERCH_PORT: "--port", PERCH_DATA_DIR: "--data-dir" };
  for (const [name, value] of Object.entries(given)) {
    if (value === "") fail(`${flags[name]} needs a value`, 2);
    if (value !== undefined) Deno.env.set(name, value);
  }
  try {
    return readEnvironment(Deno.env.toObject(), Deno.stderr.isTerminal());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const name = error.message.split(" ", 1)[0]!;
    const isOption = given[name as keyof typeof given] !== undefined;
    fail(isOption ? error.message.replace(name, flags[name]!) : error.message, 2);
  }
}

/** Makes sure that the data directory can be written to. */
async function prepareDataDir(dataDir: string): Promise<void> {
  try {
    await Deno.mkdir(join(dataDir, "hub"), { recursive: true, mode: 0o700 });
    const probe = await Deno.makeTempFile({ dir: join(dataDir, "hub"), prefix: ".probe-" });
    await Deno.remove(probe);
  } catch (error) {
    const reason = (error as Error).message.split(":")[0];
    fail(`the data directory "${dataDir}" cannot be written to (${reason}); choose another with --data-dir`);
  }
}

/** Checks that the port is free and returns it; picks one for port 0. */
function reservePort({ host, port }: HubEnvironment): number {
  try {
    using listener = Deno.listen({ hostname: host, port });
    return listener.addr.port;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) fail(`port ${port} on ${host} is in use; choose another with --port`);
    if (error instanceof Deno.errors.PermissionDenied) {
      fail(`port ${port} may not be opened by this user; choose one above 1023 with --port`);
    }
    fail(`cannot listen on "${host}": ${(error as Error).message}; check --host`, 2);
  }
}

async function buildIfNeeded(): Promise<void> {
  if (await isBuildCurrent(root)) return;
  using _lock = await lockBuild(root);
  if (await isBuildCurrent(root)) return;
  console.error("perch: building the app (first start or new version) …");
  const build = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", join(root, "dev.ts"), "build"],
    cwd: root,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!build.success) fail("the app could not be built; the reason is above");
}

/** Starts the runner of this machine. It logs to a file in the data directory; its first words there on failure. */
function startRunner(url: string, dataDir: string, enrollment: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--config",
      join(root, "deno.json"),
      join(root, "runner/main.ts"),
      "runner",
      "--hub",
      url,
      "--data-dir",
      dataDir,
      "--exit-with-stdin",
    ],
    env: { PERCH_ENROLLMENT: enrollment },
    // Held open and never written to: when this process dies without a word, the runner sees its end and leaves too.
    stdin: "piped",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

async function stopRunner(runner: Deno.ChildProcess): Promise<void> {
  try {
    runner.kill("SIGTERM");
  } catch {
    return; // it has ended already
  }
  const timer = setTimeout(() => {
    console.error("perch: the runner does not stop; ending it");
    runner.kill("SIGKILL");
  }, RUNNER_STOP_MS);
  await runner.status;
  clearTimeout(timer);
}

async function main(): Promise<void> {
  const options = parseOptions();
  if (options.help) return console.log(USAGE);
  if (options.version) return console.log(PERCH_VERSION);
  const environment = readOptions(options);
  await prepareDataDir(environment.dataDir);
  const port = reservePort(environment);
  Deno.env.set("PERCH_PORT", String(port));
  Deno.env.set("PERCH_BOOT_ID", crypto.randomUUID());
  await buildIfNeeded();

  let isolates: Awaited<ReturnType<typeof startIsolates>>;
  try {
    isolates = await startIsolates({ host: environment.host, port, count: environment.isolates });
  } catch (error) {
    fail((error as Error).message);
  }
  const { auth } = isolates;
  const url = localUrl({ host: environment.host, port });
  console.log(`Perch ${PERCH_VERSION} is at ${environment.publicUrl ?? url}`);
  const setupToken = await auth.issueSetupToken();
  if (setupToken !== null) {
    const link = `${environment.publicUrl ?? url}/setup#${setupToken}`;
    console.log(`Make the first account: ${link}\n\n${renderUnicodeCompact(link)}\n`);
  }
  const runner = options["no-runner"] ? null : startRunner(url, environment.dataDir, await auth.issueEnrollment());
  runner?.status.then(({ code }) => {
    if (!isStopping) {
      console.error(`perch: the runner of this machine ended (exit code ${code}); the hub goes on without it`);
    }
  });

  let isStopping = false;
  const stop = async () => {
    if (isStopping) Deno.exit(130);
    isStopping = true;
    isolates.beginDrain();
    if (runner) await stopRunner(runner);
    setTimeout(
      () => fail("the hub does not stop; what was not acknowledged is sent again"),
      environment.drainMs + CLOSE_MS,
    );
    await isolates.stop();
    Deno.exit(0);
  };
  Deno.addSignalListener("SIGINT", stop);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
}

await main();
