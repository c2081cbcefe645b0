/**
 * `bench sessions`: many sessions on one hub process, each with a host that writes 2 records and 10 deltas a second and one
 * viewer. How soon messages arrive, whether all of them do, once and in order, and what the hub needs for it.
 */
import { startHub } from "../tests/support/hub.ts";
import { Fleet, type FleetRun } from "./load/fleet.ts";
import { cpuSeconds, machineLoad, rssMb } from "./load/process.ts";
import { percentile, type Result, result } from "./report.ts";

const SIZES = [100, 500, 1_000];
const LARGEST = SIZES.at(-1)!;
/** What `sessions.cpu_s` is told for, however long the run was. */
const CPU_PER_S = 60;

interface Plan {
  runMs: number;
  warmUpMs: number;
}

const quickPlan: Plan = { runMs: 5_000, warmUpMs: 1_000 };
const fullPlan: Plan = { runMs: 60_000, warmUpMs: 2_000 };

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function sessions(options: { isQuick: boolean }): Promise<Result[]> {
  const plan = options.isQuick ? quickPlan : fullPlan;
  await using hub = await startHub();
  const route = { host: () => hub, viewer: () => hub };
  await using fleet = new Fleet(() => ({ route }));
  const results: Result[] = [];
  for (const size of SIZES) {
    const startMs = performance.now();
    await fleet.grow(size);
    const openMs = performance.now() - startMs;
    const cpuBefore = cpuSeconds(hub.pid);
    const loadBefore = cpuSeconds(Deno.pid);
    const run = await fleet.run(plan.runMs, plan.warmUpMs);
    const elapsedS = run.elapsedMs / 1_000;
    const cpuPerS = (cpuSeconds(hub.pid) - cpuBefore) / elapsedS;
    const loadPerS = (cpuSeconds(Deno.pid) - loadBefore) / elapsedS;
    const found = measures("sessions", run, size);
    found.push(
      result(`sessions.rss_mb.s${size}`, "MiB", rssMb(hub.pid)),
      result(`sessions.cpu_s.s${size}`, "s", cpuPerS * CPU_PER_S),
    );
    tell(found);
    console.error(
      `  ${size} sessions (opened in ${Math.round(openMs)} ms): ${run.messages} messages, CPU: hub ${
        percent(cpuPerS)
      }, ` +
        `load ${percent(loadPerS)}; load behind its schedule by ${run.lagMs.toFixed(1)} ms at most; ${machineLoad()}`,
    );
    results.push(...found);
  }
  const { lost, duplicated, reordered } = fleet.faults();
  return [
    ...atLargest(results, LARGEST),
    result("sessions.lost", "1", lost),
    result("sessions.duplicated", "1", duplicated),
    result("sessions.reordered", "1", reordered),
    ...results,
  ];
}

export const percent = (share: number) => `${Math.round(share * 100)} %`;

/** The latencies of a run at one size. */
export function measures(bench: string, { latencies }: FleetRun, size: number): Result[] {
  return [
    result(`${bench}.p50_ms.s${size}`, "ms", percentile(latencies, 0.5)),
    result(`${bench}.p99_ms.s${size}`, "ms", percentile(latencies, 0.99)),
  ];
}

/** The results of one size, named without it. */
export function atLargest(results: readonly Result[], size: number): Result[] {
  const suffix = `.s${size}`;
  return results.filter(({ name }) => name.endsWith(suffix)).map((found) => ({
    ...found,
    name: found.name.slice(0, -suffix.length),
  }));
}

export function tell(results: readonly Result[]): void {
  for (const { name, value, unit } of results) console.error(`${name}: ${value} ${unit}`);
}
