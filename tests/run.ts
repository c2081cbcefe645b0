/**
 * `deno task test`: everything that CI runs, in order: formatting, lint, types, the build, then the test groups. Runs on a fresh
 * clone. A group's name as argument runs that group alone: `deno task test unit`. The last line counts all tests.
 */

interface Step {
  name: string;
  args: string[];
}

const deno = (...args: string[]) => args;
const test = (...args: string[]) => deno("test", "-A", "--no-check", ...args);

const checks: Step[] = [
  { name: "format", args: deno("fmt", "--check") },
  { name: "lint", args: deno("lint") },
  { name: "types", args: deno("check") },
  { name: "build", args: deno("run", "-A", "dev.ts", "build") },
];

const groups: Step[] = [
  { name: "unit", args: test("protocol", "lib", "client", "components", "runner", "bench") },
  { name: "agents", args: test("tests/agents") },
  { name: "hostile", args: test("tests/hostile", "tests/isolates") },
  { name: "start", args: test("tests/start") },
  { name: "operations", args: test("tests/operations") },
  { name: "tunnel", args: test("tests/tunnel") },
  { name: "faults", args: test("tests/faults", "tests/link") },
  { name: "cluster", args: test("tests/cluster") },
  { name: "retention", args: test("tests/retention", "tests/soak") },
  { name: "browser", args: test("tests/browser") },
  { name: "terminal", args: test("tests/terminal") },
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
