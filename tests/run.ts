/**
 * `deno task test`: everything that CI runs, in order: formatting, lint, types, the build, then the test groups. Runs on a fresh
 * clone. A group's name as argument runs that group alone: `deno task test unit`. The last line counts all tests.
 */

interface Step {
  name: string;
  args: string[];
  /** Folders of the tests in it. */
  folders?: string[];
}

const deno = (...args: string[]) => args;
const test = (name: string, ...folders: string[]): Step => ({
  name,
  args: deno("test", "-A", "--no-check", ...folders),
  folders,
});

const checks: Step[] = [
  { name: "format", args: deno("fmt", "--check") },
  { name: "lint", args: deno("lint") },
  { name: "types", args: deno("check") },
  { name: "build", args: deno("run", "-A", "dev.ts", "build") },
];

const groups: Step[] = [
  test("unit", "protocol", "lib", "client", "components", "routes", "runner", "bench"),
  test("agents", "tests/agents"),
  test("hostile", "tests/hostile", "tests/isolates"),
  test("start", "tests/start"),
  test("operations", "tests/operations"),
  test("tunnel", "tests/tunnel"),
  test("faults", "tests/faults", "tests/link"),
  test("cluster", "tests/cluster"),
  test("retention", "tests/retention", "tests/soak"),
  test("browser", "tests/browser"),
  test("terminal", "tests/terminal"),
];

/** Runs a step with its output shown; returns whether it succeeded and how many tests it counted. */
async function run({ name, args }: Step): Promise<{ isOk: boolean; passed: number; failed: number }> {
  console.log(`\n── ${name}: deno ${args.join(" ")}`);
  const startedMs = performance.now();
  const process = new Deno.Command(Deno.execPath(), {
    args,
    stdout: "piped",
    stderr: "inherit",
    env: { NO_COLOR: "1" },
  }).spawn();
  let text = "";
  for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
    await Deno.stdout.write(new TextEncoder().encode(chunk));
    text = (text + chunk).slice(-4_000);
  }
  const { success } = await process.status;
  const counts = /\| (\d+) passed.*\| (\d+) failed/.exec(text);
  console.log(`── ${name}: ${success ? "ok" : "FAILED"} in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
  return { isOk: success, passed: Number(counts?.[1] ?? 0), failed: Number(counts?.[2] ?? (success ? 0 : 1)) };
}

/** Test files that no group runs: whoever adds a folder may forget to name it here. */
function* leftOut(folder = "."): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = folder === "." ? name : `${folder}/${name}`;
    if (isDirectory && !/^(\..*|_fresh|node_modules|dist)$/.test(name)) yield* leftOut(path);
    else if (
      /_test\.tsx?$/.test(name) && !groups.some(({ folders }) => folders?.some((own) => path.startsWith(`${own}/`)))
    ) {
      yield path;
    }
  }
}
const forgotten = [...leftOut()];
if (forgotten.length > 0) {
  console.error(`no test group of tests/run.ts runs ${forgotten.join(", ")}`);
  Deno.exit(2);
}

const wanted = Deno.args;
const known = [...checks, ...groups].map(({ name }) => name);
const unknown = wanted.find((name) => !known.includes(name));
if (unknown !== undefined) {
  console.error(`there is no test group "${unknown}"; there are: ${known.join(", ")}`);
  Deno.exit(2);
}
const steps = wanted.length === 0
  ? [...checks, ...groups]
  // Groups that start the hub need the app to be built.
  : [...checks, ...groups].filter(({ name }) => wanted.includes(name) || name === "build");

const failedSteps: string[] = [];
let passed = 0;
let failed = 0;
for (const step of steps) {
  const result = await run(step);
  passed += result.passed;
  failed += result.failed;
  if (!result.isOk) failedSteps.push(step.name);
}
console.log(failedSteps.length === 0 ? "\nall steps passed" : `\nfailed: ${failedSteps.join(", ")}`);
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failedSteps.length === 0 ? 0 : 1);
