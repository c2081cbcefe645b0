/**
 * `kill -9` of hub, daemon or session host at random points of a stream of about 2,000 records: in the end every viewer shows what
 * the journal holds, nothing lost, doubled or in another order.
 *
 * PERCH_FAULT_SEED repeats a run (its seed is printed); PERCH_FAULT_RUNS says how many there are (default 3).
 */
import assert from "node:assert/strict";
import type { EntryBodies } from "@/protocol/mod.ts";
import { killPid } from "../support/child.ts";
import { type HubProcess, startHub } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { type RunnerProcess, startRunner } from "../support/runner.ts";
import { ScriptedViewer } from "../support/viewer.ts";
import { type JournalState, readJournal } from "./journal.ts";
import { type Order, randomOf, RECORDS_A_STEP, stepOf } from "./steps.ts";

const RECORDS = 2_000;
const STEPS = RECORDS / RECORDS_A_STEP;
const PACE_MS = 3;
const victims = ["hub", "daemon", "host"] as const;
type Victim = (typeof victims)[number];
interface Kill {
  victim: Victim;
  /** It happens when the viewer has seen this seq. */
  atSeq: number;
}

/** One to three kills; the first one's victim changes from run to run. */
function planOf(seed: number): Kill[] {
  const random = randomOf(seed);
  const count = 1 + Math.floor(random() * 3);
  return Array.from({ length: count }, (_, i): Kill => ({
    victim: victims[i === 0 ? seed % 3 : Math.floor(random() * 3)]!,
    atSeq: 20 + Math.floor(random() * (RECORDS - 100)),
  })).sort((a, b) => a.atSeq - b.atSeq);
}

const agentCommand = [
  Deno.execPath(),
  "run",
  "-A",
  "--quiet",
  "--no-check",
  new URL("./agent.ts", import.meta.url).pathname,
];

class FaultRun {
  readonly #hub: HubProcess;
  readonly #runner: RunnerProcess;
  readonly #seed: number;
  #hostKills = 0;

  constructor(hub: HubProcess, runner: RunnerProcess, seed: number) {
    this.#hub = hub;
    this.#runner = runner;
    this.#seed = seed;
  }

  async run(): Promise<string> {
    const plan = planOf(this.#seed);
    const sessionId = await this.#runner.startSession(
      { agentId: "custom", command: agentCommand },
      JSON.stringify(this.#order(1)),
    );
    await using viewer = new ScriptedViewer(this.#hub, sessionId);
    const loaded = viewer.loadAll();
    for (const { victim, atSeq } of plan) {
      await viewer.until(() => (viewer.timeline.cursor?.seq ?? 0) >= atSeq, `seq ${atSeq}`);
      await this.#kill(victim, viewer);
    }
    const journal = await this.#finished(viewer);
    await loaded;
    this.#assertComplete(journal);
    this.#assertShows(viewer, journal);
    await using late = new ScriptedViewer(this.#hub, sessionId);
    await late.loadAll();
    await late.until(() => late.timeline.cursor?.seq === journal.lastSeq, "the end in a late viewer");
    this.#assertShows(late, journal);
    await this.#hub.api("DELETE", `/api/sessions/${sessionId}`);
    await viewer.until(() => viewer.state === "deleted", "the deletion");
    const { connects, snapshots, resumes } = viewer.counts;
    return `${plan.map(({ victim, atSeq }) => `${victim}@${atSeq}`).join(" ")}: ${journal.lastSeq} records, ` +
      `${connects} connections, ${snapshots} snapshots, ${resumes} resumes`;
  }

  #order(from: number): Order {
    return { seed: this.#seed, from, to: STEPS, paceMs: PACE_MS };
  }

  async #kill(victim: Victim, viewer: ScriptedViewer): Promise<void> {
    switch (victim) {
      case "hub":
        await this.#hub.kill9();
        return await this.#hub.restart();
      case "daemon":
        return killPid(await this.#runner.daemonPid());
      case "host": {
        const pid = await this.#runner.hostPid(viewer.sessionId);
        assert.notEqual(pid, null, "the session's host lives");
        this.#hostKills++;
        killPid(pid!);
        return await this.#resume(viewer);
      }
    }
  }

  /** The session ends as lost; it is resumed, and the agent asked for the steps that the journal does not hold. */
  async #resume(viewer: ScriptedViewer): Promise<void> {
    const { sessionId } = viewer;
    await viewer.until(() => viewer.info?.ended !== null && viewer.info?.isActive === false, "the end as lost");
    assert.equal(viewer.info?.ended?.reason, "lost");
    const resume = await this.#hub.fetch(`/api/sessions/${sessionId}/resume`, { method: "POST", body: "{}" });
    assert.equal(resume.status, 202, await resume.text());
    await viewer.until(() => viewer.info?.isActive === true && viewer.timeline.meta.activity === "idle", "the resume");
    const done = stepsOf(await readJournal(this.#runner.sessionDir(sessionId))).at(-1) ?? 0;
    const text = JSON.stringify(this.#order(done + 1));
    const { status, reason } = await viewer.command({ kind: "prompt", text, delivery: "prompt" });
    assert.equal(status, "applied", reason);
  }

  /** Waits until the agent is done and the viewer has all that the journal has. */
  async #finished(viewer: ScriptedViewer): Promise<JournalState> {
    const dir = this.#runner.sessionDir(viewer.sessionId);
    const last = stepOf(this.#seed, STEPS).toolCallId;
    return await eventually(
      async () => {
        const journal = await readJournal(dir);
        const isDone = journal.meta.activity === "idle" &&
          journal.entries.some((entry) =>
            entry.kind === "tool_call" && (entry.body as EntryBodies["tool_call"]).toolCallId === last
          );
        return isDone && viewer.timeline.phase === "live" && viewer.timeline.cursor?.seq === journal.lastSeq && journal;
      },
      "the end of the stream",
      60_000,
    );
  }

  /** The journal holds what the agent said: every step once, in order. Only a killed host may have cut a step short. */
  #assertComplete(journal: JournalState): void {
    journal.entries.forEach((entry, index) => assert.equal(entry.index, index));
    const numbers = stepsOf(journal);
    assert.deepEqual(numbers, Array.from({ length: STEPS }, (_, i) => i + 1), "every step's tool call, once, in order");
    const messages = journal.entries.filter(({ kind }) => kind === "agent_message").map(({ text }) => text);
    const expected = numbers.map((number) => stepOf(this.#seed, number).message.join(""));
    // A host that is killed between a step's message and its tool call makes the agent say that message again.
    const cut = messages.filter((text) => !expected.includes(text));
    assert.ok(messages.length - expected.length <= this.#hostKills, `${messages.length} messages`);
    assert.ok(cut.length <= this.#hostKills, `messages that nobody sent: ${JSON.stringify(cut)}`);
    assert.deepEqual([...new Set(messages.filter((text) => expected.includes(text)))], expected);
    const outputs = journal.entries.filter(({ kind }) => kind === "tool_call").map(({ text }) => text);
    const wrong = outputs.filter((text, i) => text !== stepOf(this.#seed, i + 1).output.join(""));
    assert.ok(wrong.length <= this.#hostKills, `outputs that nobody sent: ${JSON.stringify(wrong)}`);
  }

  #assertShows(viewer: ScriptedViewer, journal: JournalState): void {
    assert.deepEqual(viewer.shown(), journal.entries);
    assert.deepEqual(viewer.timeline.meta, journal.meta);
    assert.equal(viewer.counts.unreadable, 0);
  }
}

/** Numbers of the steps whose tool call the journal holds. */
function stepsOf({ entries }: JournalState): number[] {
  return entries.filter(({ kind }) => kind === "tool_call").map(({ body }) =>
    Number((body as EntryBodies["tool_call"]).toolCallId.split("-")[1])
  );
}

const first = Number(Deno.env.get("PERCH_FAULT_SEED") ?? Math.floor(Math.random() * 1_000_000));
const runs = Deno.env.has("PERCH_FAULT_SEED") ? 1 : Number(Deno.env.get("PERCH_FAULT_RUNS") ?? 3);

async function runAll(t: Deno.TestContext, isolates: number, count: number): Promise<void> {
  await using hub = await startHub({ isolates });
  for (let seed = first; seed < first + count; seed++) {
    await t.step(`seed ${seed}`, async () => {
      // A runner of its own: a supervisor whose daemon is killed run after run would back off for longer and longer.
      await using runner = await startRunner(hub);
      console.log(`  ${await new FaultRun(hub, runner, seed).run()}`);
    });
  }
}

Deno.test("kill -9 of hub, daemon or session host loses, doubles and reorders nothing", async (t) => {
  await runAll(t, 1, runs);
});

Deno.test("… nor when the hub has two isolates", async (t) => {
  await runAll(t, 2, Math.ceil(runs / 3));
});
