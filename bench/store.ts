/**
 * `bench store`: how many records a second a hub commits durably, from the host's frame to its acknowledgement, compared with bare
 * loops over Deno.openKv that write the same bytes in the same run: one record a commit, and in full commits.
 */
import { join } from "node:path";
import { Child } from "../tests/support/child.ts";
import { startHub } from "../tests/support/hub.ts";
import { LongSession, recordJson } from "./load/long_session.ts";
import { cpuSeconds, machineLoad } from "./load/process.ts";
import { compared, median, type Result } from "./report.ts";
import { percent, tell } from "./sessions.ts";

/** Hosts that write at once. */
const SESSIONS = 20;
const ENTRY_CHARS = 300;
/** Records of ENTRY_CHARS that the bare loop puts into one commit: about as much as one may hold. */
const PER_COMMIT = 500;

interface Plan {
  runs: number;
  /** Records in one run, all sessions together. */
  records: number;
}

const quickPlan: Plan = { runs: 2, records: 20_000 };
const fullPlan: Plan = { runs: 7, records: 100_000 };

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function store(options: { isQuick: boolean }): Promise<Result[]> {
  const plan = options.isQuick ? quickPlan : fullPlan;
  await using hub = await startHub();
  const folder = await Deno.makeTempDir({ prefix: "perch-bench-" });
  const text = "x".repeat(ENTRY_CHARS);
  const bytes = JSON.stringify({ ...JSON.parse(recordJson("", 1, 1, 0, text)).entry, seq: 1 }).length;
  let files = 0;
  const bare = async (perCommit: number) => {
    const path = join(folder, `kv-${files++}.sqlite3`);
    const script = new URL("./load/baseline_store.ts", import.meta.url).pathname;
    // One record a commit is slow: a part of the records tells its rate as well.
    const records = perCommit === 1 ? plan.records / 5 : plan.records;
    await using child = new Child({
      args: ["run", "-A", "--unstable-kv", "--quiet", script, path, `${records}`, `${bytes}`, `${perCommit}`],
      logPath: join(folder, "bare.log"),
    });
    const [, rate] = await child.line(/^(\S+) records\/s$/, "the baseline's rate");
    return Number(rate);
  };
  const single: number[] = [];
  const batched: number[] = [];
  const ours: Record<"one" | "many", number[]> = { one: [], many: [] };
  for (let run = 0; run < plan.runs; run++) {
    single.push(await bare(1));
    for (const [name, count] of [["one", 1], ["many", SESSIONS]] as const) {
      const sessions = await Promise.all(Array.from({ length: count }, () => LongSession.open(hub)));
      const texts = Array.from({ length: plan.records / count }, () => text);
      const cpuBefore = cpuSeconds(hub.pid);
      const startMs = performance.now();
      await Promise.all(sessions.map((session) => session.write(0, texts)));
      const elapsedS = (performance.now() - startMs) / 1_000;
      ours[name].push(plan.records / elapsedS);
      console.error(
        `  ${count} sessions: ${Math.round(plan.records / elapsedS)}/s, CPU: hub ${
          percent((cpuSeconds(hub.pid) - cpuBefore) / elapsedS)
        }; ${machineLoad()}`,
      );
      await Promise.all(sessions.map((session) => session[Symbol.asyncDispose]()));
    }
    batched.push(await bare(PER_COMMIT));
  }
  await Deno.remove(folder, { recursive: true });
  const results = [
    compared("store.records_per_s", "1/s", median(ours.many), median(single)),
    compared("store.records_per_s.s1", "1/s", median(ours.one), median(single)),
    compared("store.records_per_s.batched", "1/s", median(ours.many), median(batched)),
  ];
  tell(results);
  return results;
}
