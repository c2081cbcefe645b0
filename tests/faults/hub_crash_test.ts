import assert from "node:assert/strict";
import { startHub } from "../support/hub.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { ScriptedViewer } from "../support/viewer.ts";

Deno.test("a viewer and a scripted host go on where they were after a kill -9 of the hub", async () => {
  await using hub = await startHub();
  await using host = new ScriptedProducer(hub);
  for (let i = 0; i < 250; i++) host.say(`message ${i}`);
  await host.settled();
  await using viewer = new ScriptedViewer(hub, host.sessionId);
  await viewer.live();
  await viewer.loadAll();
  assert.equal(viewer.shown().length, 250);
  await hub.kill9();
  await hub.restart();
  host.say("after the crash");
  await viewer.until(() => viewer.timeline.cursor?.seq === host.lastSeq, "the last record");
  assert.equal(viewer.shown().length, 251);
  assert.equal(viewer.shown().at(-1)?.text, "after the crash");
  assert.equal(viewer.counts.snapshots, 1, "after the crash it goes on where it was");
  await hub.stop();
});
