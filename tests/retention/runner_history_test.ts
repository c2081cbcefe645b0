/** The real hub and the real runner: what the hub trimmed is read from the journal, and a deletion reaches the disk, at once or later. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { limits } from "@/protocol/mod.ts";
import type { Order } from "../faults/steps.ts";
import { root, startHub } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { startRunner } from "../support/runner.ts";
import { ScriptedViewer } from "../support/viewer.ts";

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

const agentCommand = [Deno.execPath(), "run", "-A", "--quiet", join(root, "tests/faults/agent.ts")];
/** A message and a tool call a step. */
const order: Order = { seed: 7, from: 1, to: 70, paceMs: 0 };

Deno.test("an ended session's trimmed entries come from its runner; deleted sessions leave its disk", async () => {
  // Half a kilobyte: whatever is beyond the newest page is trimmed with the next commit.
  await using hub = await startHub({ env: { PERCH_RETENTION_SESSION_MB: "0.0005" } });
  await using runner = await startRunner(hub);
  const first = await runner.startSession({ agentId: "custom", command: agentCommand }, JSON.stringify(order));
  const second = await runner.startSession({ agentId: "demo" });
  await using viewer = new ScriptedViewer(hub, first);
  await viewer.until(
    () => viewer.timeline.ids.length > limits.pageEntries + 20 && viewer.timeline.meta.activity === "idle",
    "more than a page of entries",
  );
  await viewer.loadAll();
  await hub.api("POST", `/api/sessions/${first}/kill`, {});
  await viewer.until(() => viewer.info?.ended !== null && viewer.info?.isActive === false, "the end");
  const whole = viewer.shown();
  const page = await hub.api("GET", `/api/sessions/${first}/entries`);
  assert.ok(page.oldestIndex > 0, "the hub has trimmed");
  await using late = new ScriptedViewer(hub, first);
  await late.loadAll();
  assert.deepEqual(late.shown().map(({ id, body }) => ({ id, body })), whole.map(({ id, body }) => ({ id, body })));
  const exported = await (await hub.fetch(`/api/sessions/${first}/export?format=jsonl`)).text();
  assert.equal(exported.trimEnd().split("\n").length, whole.length + 1);

  assert.ok(exists(runner.sessionDir(first).path) && exists(runner.sessionDir(second).path));
  await hub.api("DELETE", `/api/sessions/${second}`);
  await eventually(() => !exists(runner.sessionDir(second).path), "the removal of a live session's directory");
  assert.ok(exists(runner.sessionDir(first).path));
  // While the hub's socket to the daemon is cut (the daemon is killed and comes back) the other one is deleted, too.
  const daemon = await runner.daemonPid();
  Deno.kill(daemon, "SIGKILL");
  await hub.api("DELETE", `/api/sessions/${first}`);
  await eventually(() => !exists(runner.sessionDir(first).path), "the removal at the next connection");
});
