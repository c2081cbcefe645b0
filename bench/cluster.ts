/**
 * `bench cluster`: the load of `bench sessions` on three hub processes over one denokv, host and viewer of each session always on
 * different ones; then again while one of the three is killed and started anew every 10 s.
 */
import { findDenokv } from "../tests/support/denokv.ts";
import type { HubProcess } from "../tests/support/hub.ts";
import { Fleet } from "./load/fleet.ts";
import { cpuSeconds, machineLoad } from "./load/process.ts";
import type { SessionPair } from "./load/session_pair.ts";
import { BenchError, percentile, type Result, result } from "./report.ts";
import { atLargest, measures, percent, tell } from "./sessions.ts";

const SIZES = [100, 500, 1_000];
const LARGEST = SIZES.at(-1)!;
const KILL_EVERY_MS = 10_000;

interface Plan {
  runMs: number;
  warmUpMs: number;
  churnMs: number;
}

const quickPlan: Plan = { runMs: 2_500, warmUpMs: 1_000, churnMs: 9_500 };
const fullPlan: Plan = { runMs: 60_000, warmUpMs: 2_000, churnMs: 65_000 };

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. Throws BenchError without a denokv. */
export async function cluster(options: { isQuick: boolean }): Promise<Result[]> {
  const plan = options.isQuick ? quickPlan : fullPlan;
  const denokv = await findDenokv();
  if (denokv === null) {
    throw new BenchError("bench cluster needs a denokv: put one on PATH, name it in DENOKV_BIN, or install cargo");
  }
  // It looks for a denokv itself as soon as it is loaded, which no other bench needs.
  const { Cluster } = await import("../tests/cluster/cluster.ts");
  await using hubs = await Cluster.start(denokv, { peers: "direct" });
  const results = [...await steady(hubs.hubs, plan), ...await churn(hubs.hubs, plan)];
  return results;
}

async function steady(hubs: readonly HubProcess[], plan: Plan): Promise<Result[]> {
  await using fleet = new Fleet((no) => {
    const [host, viewer] = [hubs[no % 3]!, hubs[(no + 1) % 3]!];
    return { route: { host: () => host, viewer: () => viewer } };
  });
  const results: Result[] = [];
  for (const size of SIZES) {
    await fleet.grow(size);
    const cpuBefore = hubs.map(({ pid }) => cpuSeconds(pid));
    const run = await fleet.run(plan.runMs, plan.warmUpMs);
    const cpu = hubs.map(({ pid }, i) => percent((cpuSeconds(pid) - cpuBefore[i]!) / (run.elapsedMs / 1_000)));
    const found = measures("cluster", run, size);
    tell(found);
    console.error(
      `  ${size} sessions: ${run.messages} messages, CPU of the hubs: ${cpu.join(", ")}; ` +
        `load behind its schedule by ${run.lagMs.toFixed(1)} ms at most; ${machineLoad()}`,
    );
    results.push(...found);
  }
  const { lost, duplicated, reordered } = fleet.faults();
  return [
    ...atLargest(results, LARGEST),
    result("cluster.lost", "1", lost),
    result("cluster.duplicated", "1", duplicated),
    result("cluster.reordered", "1", reordered),
    ...results,
  ];
}

/** Where the two ends of a session are now; whoever loses its hub goes to the one that the other end is not on. */
class MovingRoute {
  readonly #hubs: readonly HubProcess[];
  readonly #down: ReadonlySet<number>;
  #hostNo: number;
  #viewerNo: number;

  constructor(hubs: readonly HubProcess[], down: ReadonlySet<number>, no: number) {
    this.#hubs = hubs;
    this.#down = down;
    this.#hostNo = no % 3;
    this.#viewerNo = (no + 1) % 3;
  }

  host(): HubProcess {
    if (this.#down.has(this.#hostNo)) this.#hostNo = 3 - this.#hostNo - this.#viewerNo;
    return this.#hubs[this.#hostNo]!;
  }

  viewer(): HubProcess {
    if (this.#down.has(this.#viewerNo)) this.#viewerNo = 3 - this.#hostNo - this.#viewerNo;
    return this.#hubs[this.#viewerNo]!;
  }

  isOn(no: number): boolean {
    return this.#hostNo === no || this.#viewerNo === no;
  }
}

async function churn(hubs: readonly HubProcess[], plan: Plan): Promise<Result[]> {
  const down = new Set<number>();
  const routes = new Map<number, MovingRoute>();
  /** Sessions that the last kill does not concern: their neighbour goes, and they must not notice. */
  const spared = new Set<SessionPair>();
  await using fleet = new Fleet((no) => {
    const route = new MovingRoute(hubs, down, no);
    routes.set(no, route);
    return { route, isShaken: true };
  }, (pair) => spared.has(pair));
  await fleet.grow(LARGEST);
  let kills = 0;
  let restarting = Promise.resolve();
  const kill = async () => {
    const no = kills++ % hubs.length;
    spared.clear();
    for (const [i, pair] of fleet.pairs.entries()) if (!routes.get(i)!.isOn(no)) spared.add(pair);
    down.add(no);
    await hubs[no]!.kill9();
    await hubs[no]!.restart();
    down.delete(no);
  };
  let failure: unknown = null;
  const timer = setInterval(() => {
    restarting = restarting.then(kill).catch((error) => failure ??= error);
  }, KILL_EVERY_MS);
  // The first goes soon, so that a short run has its kill in the middle.
  const first = setTimeout(() => restarting = restarting.then(kill).catch((error) => failure ??= error), 2_000);
  const run = await fleet.run(plan.churnMs, 0).finally(() => {
    clearInterval(timer);
    clearTimeout(first);
  });
  await restarting;
  if (failure !== null) throw failure;
  const losses = fleet.pairs.reduce((sum, pair) => sum + pair.losses, 0);
  console.error(
    `  ${LARGEST} sessions, ${kills} kills, ${losses} lost connections, ${run.messages} messages; ${machineLoad()}`,
  );
  const { lost, duplicated, reordered } = fleet.faults();
  const results = [
    result("cluster.churn_lost", "1", lost),
    result("cluster.churn_duplicated", "1", duplicated),
    result("cluster.churn_reordered", "1", reordered),
    result("cluster.churn_p50_ms", "ms", percentile(run.latencies, 0.5)),
    result("cluster.churn_p99_ms", "ms", percentile(run.latencies, 0.99)),
  ];
  tell(results);
  return results;
}
