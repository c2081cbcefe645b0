import assert from "node:assert/strict";
import { TestMesh } from "./test_mesh.ts";
import { Peer, register, startHub, textEvent } from "./testing.ts";

Deno.test("a host's records reach a viewer at once and are acknowledged after their commit", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = startHub(kv, new TestMesh());
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch, ackedSeq } = await host.next("registered");
  assert.equal(ackedSeq, 0);
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 1 });
  const connected = await viewer.next("connected");
  assert.equal(connected.verdict, "snapshot");
  await viewer.next("snapshot");
  const frame = JSON.stringify([textEvent("s1", epoch, 1, "", { status: "running" }), {
    type: "delta",
    sessionId: "s1",
    epoch,
    entryId: "entry-0",
    at: 0,
    text: "Hello",
  }]);
  host.socket.send(frame);
  assert.equal((await viewer.next("event")).seq, 1);
  assert.equal((await viewer.next("delta")).text, "Hello");
  assert.ok(viewer.frames.includes(frame), "the frame is forwarded as it came");
  assert.equal((await host.next("event_ack")).seq, 1);
  assert.equal((await hub.store.log.head("s1"))?.ackedSeq, 1);

  await using late = await Peer.open(hub, "viewer", "ann");
  late.send({ type: "switch_session", sessionId: "s1", generation: 7 });
  const snapshot = await late.next("snapshot");
  assert.equal(snapshot.generation, 7);
  assert.deepEqual(snapshot.cursor, { epoch, seq: 1 });
  assert.equal((await late.next("delta")).text, "Hello");
});
