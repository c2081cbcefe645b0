import assert from "node:assert/strict";
import type { SessionStore } from "@/lib/session/types.ts";
import { closeCodes, limits } from "@/protocol/mod.ts";
import { attachViewer, Peer, register, startHub, textEvent } from "./testing.ts";

Deno.test("a host's records reach a viewer at once and are acknowledged after their commit", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch, ackedSeq } = await host.next("registered");
  assert.equal(ackedSeq, 0);
  await using viewer = await attachViewer(hub, "s1");
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
  assert.equal((await late.next("delta")).text, "Hello", "open text that no record holds yet");
});

/** A store whose commits wait for `gate` and fail while `isDown`. */
function gatedStore() {
  const control = { gate: Promise.withResolvers<void>(), isDown: false };
  const wrap = (store: SessionStore): SessionStore => {
    const log = Object.create(store.log) as SessionStore["log"];
    for (
      const name of ["register", "release", "producerIsolate", "end", "head", "meta", "lastPage", "page", "changes"]
    ) {
      const method = Reflect.get(store.log, name);
      Reflect.set(log, name, method.bind(store.log));
    }
    log.commit = async (lease, events) => {
      await control.gate.promise;
      if (control.isDown) throw new Error("the database is down");
      return await store.log.commit(lease, events);
    };
    return { ...store, log };
  };
  return { control, wrap };
}

Deno.test("viewers see a record before its commit; the ack waits for the commit; a late viewer gets it too", async () => {
  using kv = await Deno.openKv(":memory:");
  const { control, wrap } = gatedStore();
  await using hub = await startHub(kv, wrap);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  await using viewer = await attachViewer(hub, "s1");
  host.send(textEvent("s1", epoch, 1));
  await viewer.next("event");
  await using late = await attachViewer(hub, "s1");
  assert.equal((await late.next("event")).seq, 1, "not in KV, but known");
  assert.equal((await hub.store.log.head("s1"))?.ackedSeq, 0);
  assert.ok(!host.received.some(({ type }) => type === "event_ack"));
  control.gate.resolve();
  assert.equal((await host.next("event_ack")).seq, 1);
});

Deno.test("a failing database is reported, nothing is acknowledged, and the commit is tried again", async () => {
  using kv = await Deno.openKv(":memory:");
  const { control, wrap } = gatedStore();
  control.isDown = true;
  control.gate.resolve();
  await using hub = await startHub(kv, wrap);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  host.send(textEvent("s1", epoch, 1), textEvent("s1", epoch, 2));
  assert.equal((await host.next("error")).code, "unavailable");
  control.isDown = false;
  assert.equal((await host.next("event_ack")).seq, 2);
});

Deno.test("duplicates are acknowledged and not forwarded, a gap is refused, a frame with both is cut to what is new", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  await using viewer = await attachViewer(hub, "s1");
  host.send(textEvent("s1", epoch, 1), textEvent("s1", epoch, 2));
  await host.next("event_ack", ({ seq }) => seq === 2);
  host.send(textEvent("s1", epoch, 2));
  assert.equal((await host.next("event_ack")).seq, 2);
  host.send(textEvent("s1", epoch, 5));
  const gap = await host.next("error");
  assert.equal(gap.code, "gap");
  assert.match(gap.message, /expected seq 3, got 5/);
  host.send(textEvent("s1", epoch, 2), textEvent("s1", epoch, 3), textEvent("s1", epoch, 9));
  assert.equal((await host.next("error")).code, "gap");
  await host.next("event_ack", ({ seq }) => seq === 3);
  await viewer.until(() => viewer.received.find(({ type, seq }) => type === "event" && seq === 3), "event 3");
  assert.deepEqual(viewer.received.filter(({ type }) => type === "event").map(({ seq }) => seq), [1, 2, 3]);
  assert.equal(hub.hub.counters.get("records_duplicate"), 2);
});

Deno.test("a newer registration closes the older socket, whose records change nothing any more", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using older = await Peer.open(hub, "relay", "ann");
  older.send(register("s1"));
  const { epoch } = await older.next("registered");
  await using newer = await Peer.open(hub, "relay", "ann");
  newer.send(register("s1"));
  assert.equal((await newer.next("registered")).epoch, epoch, "the same journal goes on in the same epoch");
  assert.equal((await older.closed).code, closeCodes.replaced);
  newer.send(textEvent("s1", epoch, 1));
  await newer.next("event_ack", ({ seq }) => seq === 1);
  const info = await hub.store.sessions.info("ann", "s1");
  assert.equal(info?.isActive, true, "the older socket's end changed nothing");
});

Deno.test("a record that can never be stored is refused by name and closes the socket; what came before it is kept", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  host.send(textEvent("s1", epoch, 1));
  await host.next("event_ack", ({ seq }) => seq === 1);
  const second = textEvent("s1", epoch, 2, "other", { index: 0 });
  host.send({ ...second, entry: { ...second.entry, id: "another-id" } });
  assert.equal((await host.next("error")).code, "conflict");
  assert.equal((await host.closed).code, closeCodes.protocolError);
  await using again = await Peer.open(hub, "relay", "ann");
  again.send(register("s1", { lastSeq: 2 }));
  assert.equal((await again.next("registered")).ackedSeq, 1);
});

Deno.test("an entry over its bound is refused once, not tried again for ever", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  host.send(textEvent("s1", epoch, 1, "x".repeat(limits.entryBytes)));
  const error = await host.next("error");
  assert.equal(error.code, "too_large");
  assert.match(error.message, /entry entry-0 of record 1 is \d+ bytes/);
  assert.equal((await host.closed).code, closeCodes.protocolError);
  assert.equal(hub.hub.counters.get("commits_failed"), 0);
});

Deno.test("records before a registration, of another session or another epoch are refused", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(textEvent("s1", 1, 1));
  assert.equal((await host.next("error")).code, "invalid_message");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  host.send(textEvent("s2", epoch, 1));
  const other = await host.next("error");
  assert.equal(other.code, "invalid_message");
  assert.equal(other.field, "sessionId");
  host.send(textEvent("s1", epoch + 1, 1));
  assert.equal((await host.next("error")).code, "stale_epoch");
  assert.equal((await host.closed).code, closeCodes.replaced);
});

Deno.test("another user's session cannot be registered", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  await using thief = await Peer.open(hub, "relay", "bob");
  thief.send(register("s1"));
  assert.equal((await thief.next("error")).code, "not_found");
  await thief.closed;
});

Deno.test("the end of a session is stored after its last records, and its lists show it", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  await using list = await Peer.open(hub, "hub", "ann");
  assert.equal((await list.next("sessions")).sessions[0].isActive, true);
  host.send(textEvent("s1", epoch, 1), {
    type: "session_end",
    sessionId: "s1",
    end: { reason: "closed", at: 5 },
  });
  const { session } = await list.next("session_status", ({ session }) => session.ended !== null);
  assert.equal(session.ended.reason, "closed");
  assert.equal((await hub.store.log.head("s1"))?.ackedSeq, 1);
});
