/** The real hub and the real runner: what the hub trimmed is read from the journal, and a deletion reaches the disk, at once or later. */
import assert from "node:assert/strict";
import { limits } from "@/protocol/mod.ts";
import { startHub } from "../support/hub.ts";
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

Deno.test("an ended session's trimmed entries come from its runner; deleted sessions leave its disk", async () => {
  // Half a kilobyte: whatever is beyond the newest page is trimmed with the next commit.
  await using hub = await startHub({ env: { PERCH_RETENTION_SESSION_MB: "0.0005" } });
  let first: string;
  let second: string;
  await using runner = await startRunner(hub);
  first = await runner.startSession({ agentId: "demo" });
  second = await runner.startSession({ agentId: "demo" });
  await using viewer = new ScriptedViewer(hub, first);
  await viewer.until(
    () => viewer.info?.isActive === true && viewer.timeline.meta.activity === "idle",
    "an idle session",
  );
  // The demo agent answers each prompt with a few entries.
  for (let turn = 0; viewer.timeline.ids.length <= limits.pageEntries + 20; turn++) {
    assert.ok(turn < 100, "the demo agent writes entries");
    const { status } = await viewer.command({ kind: "prompt", text: `turn ${turn}`, delivery: "prompt" });
    assert.equal(status, "applied");
    for (;;) {
      const pending = () =>
        viewer.timeline.ids.find((id) => {
          const { kind, head } = viewer.timeline.get(id)!.entry;
          return kind === "interaction" && head.status === "pending";
        });
      await viewer.until(
        () => viewer.timeline.meta.activity === "idle" || pending() !== undefined,
        "the end of the turn",
      );
      const entryId = pending();
      if (entryId === undefined) break;
      await viewer.command({ kind: "answer", entryId, outcome: "cancelled" });
      await viewer.until(() => pending() !== entryId, "the answer to show");
    }
  }
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
