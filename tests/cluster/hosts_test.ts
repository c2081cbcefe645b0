/** A real runner behind the balancer, whose agent streams while hubs, denokv and the runner's daemon are killed. */
import assert from "node:assert/strict";
import { readJournal } from "../faults/journal.ts";
import { randomOf, RECORDS_A_STEP, stepOf } from "../faults/steps.ts";
import { killPid } from "../support/child.ts";
import { eventually } from "../support/patience.ts";
import { startRunner } from "../support/runner.ts";
import { ScriptedViewer } from "../support/viewer.ts";
import { Cluster, clusterTest } from "./cluster.ts";

const STEPS = 200;
const agentCommand = [
  Deno.execPath(),
  "run",
  "-A",
  "--quiet",
  "--no-check",
  new URL("../faults/agent.ts", import.meta.url).pathname,
];

clusterTest("every viewer shows the journal of a real host, whatever was killed meanwhile", async (program) => {
  const given = Deno.env.get("PERCH_FAULT_SEED");
  const seed = given === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given);
  const random = randomOf(seed);
  await using cluster = await Cluster.start(program, { peers: "direct" });
  await using runner = await startRunner(cluster.front);
  const order = JSON.stringify({ seed, from: 1, to: STEPS, paceMs: 10 });
  const sessionId = await runner.startSession({ agentId: "custom", command: agentCommand }, order);
  await using viewer = new ScriptedViewer(cluster.front, sessionId);
  await viewer.loadAll();
  const victims = [0, 1, 2, "denokv", "daemon"] as const;
  const plan = victims.toSorted(() => random() - 0.5);
  for (const [i, victim] of plan.entries()) {
    const atSeq = Math.floor((STEPS * RECORDS_A_STEP * (i + random())) / (plan.length + 1)) + 1;
    await viewer.until(() => (viewer.timeline.cursor?.seq ?? 0) >= atSeq, `seq ${atSeq}`);
    if (victim === "daemon") killPid(await runner.daemonPid());
    else if (victim === "denokv") {
      await cluster.denokv.kill9();
      await cluster.denokv.start();
    } else {
      await cluster.hubs[victim]!.kill9();
      await cluster.hubs[victim]!.restart();
    }
  }
  const last = stepOf(seed, STEPS).output.join("");
  const journal = await eventually(async () => {
    const state = await readJournal(runner.sessionDir(sessionId));
    const isDone = state.meta.activity === "idle" && state.entries.some(({ text }) => text === last);
    return isDone && viewer.timeline.phase === "live" && viewer.timeline.cursor?.seq === state.lastSeq && state;
  }, "the end of the stream");
  await viewer.loadAll();
  await using late = new ScriptedViewer(cluster.front, sessionId);
  await late.loadAll();
  await late.until(() => late.timeline.cursor?.seq === journal.lastSeq, "the end in a late viewer");
  for (const each of [viewer, late]) {
    assert.deepEqual(each.shown(), journal.entries);
    assert.deepEqual(each.timeline.meta, journal.meta);
    assert.equal(each.counts.unreadable, 0);
  }
  const steps = journal.entries.filter(({ kind }) => kind === "tool_call").map(({ text }) => text);
  assert.deepEqual(steps, Array.from({ length: STEPS }, (_, i) => stepOf(seed, i + 1).output.join("")));
  console.log(`  seed ${seed}: killed ${plan.join(", ")}; ${journal.lastSeq} records`);
});
