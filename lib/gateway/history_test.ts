import assert from "node:assert/strict";
import type { Entry } from "@/protocol/mod.ts";
import { SessionTimeline, type TimelineMessage } from "@/protocol/log/mod.ts";
import { openKv } from "@/lib/kv/open.ts";
import { createLog } from "@/lib/log.ts";
import { Retention } from "@/lib/retention.ts";
import { defaultRetention } from "@/lib/retention_policy.ts";
import { Peer, register, startHub, type TestHub, textEvent } from "./testing.ts";

const count = 450;

/** Two isolates, a host on the first with `count` entries, of which the hub keeps the newest page only. */
async function withTrimmed(
  body: (hubs: [TestHub, TestHub], host: Peer, journal: Entry[]) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const kv = await openKv(`${dir}/hub.db`);
  try {
    await using one = await startHub(kv);
    await using two = await startHub(kv);
    await using host = await Peer.open(one, "relay", "ann");
    host.send(register("s"));
    const { epoch } = await host.next("registered");
    const events = Array.from({ length: count }, (_, n) => textEvent("s", epoch, n + 1));
    host.send(...events);
    await host.next("event_ack", ({ seq }) => seq === count);
    await using retention = new Retention({
      kv,
      store: one.store,
      mesh: one.hub.mesh,
      log: createLog("error", {}),
      limits: { ...defaultRetention, sessionBytes: 1_000 },
    });
    assert.equal((await retention.sweep())?.trimmedEntries, count - 100);
    await body([one, two], host, events.map(({ seq, entry }) => ({ ...entry!, seq })));
  } finally {
    kv.close();
    await Deno.remove(dir, { recursive: true });
  }
}

/** Answers one load_history as a host or daemon does. */
async function answerHistory(peer: Peer, journal: readonly Entry[]): Promise<void> {
  const { requestId, sessionId, before, limit } = await peer.next("load_history");
  const from = Math.max(0, before - limit);
  peer.send({ type: "history_page", requestId, sessionId, entries: journal.slice(from, before), hasMore: from > 0 });
}

function load(viewer: Peer, before: number): void {
  viewer.send({ type: "load_messages", sessionId: "s", generation: 1, before, limit: 100 });
}

Deno.test("scrolling up past what the hub holds reads the host's journal, whichever isolate holds its socket", async () => {
  await withTrimmed(async ([, two], host, journal) => {
    await using viewer = await Peer.open(two, "viewer", "ann");
    const timeline = new SessionTimeline("s");
    viewer.send(timeline.attach(1));
    for (const type of ["connected", "snapshot"]) timeline.apply(await viewer.next(type) as TimelineMessage);
    assert.deepEqual([timeline.firstIndex, timeline.hasOlder], [count - 100, true]);
    while (timeline.hasOlder) {
      load(viewer, timeline.firstIndex);
      await answerHistory(host, journal);
      timeline.apply(await viewer.next("session_messages_page") as TimelineMessage);
    }
    assert.deepEqual(timeline.ids.map((id) => timeline.get(id)!.entry), journal);
  });
});

Deno.test("without a host the runner's daemon is asked; without either the error says where the entries are", async () => {
  await withTrimmed(async ([one, two], host, journal) => {
    host.socket.close();
    await host.closed;
    await using viewer = await Peer.open(two, "viewer", "ann");
    viewer.send({ type: "switch_session", sessionId: "s", generation: 1 });
    await viewer.next("snapshot");
    await viewer.until(() => viewer.received.find(({ session }) => session?.isActive === false), "the host's absence");
    load(viewer, count - 100);
    const error = await viewer.next("error");
    assert.deepEqual([error.code, error.ref, error.sessionId], ["unavailable", "1", "s"]);
    assert.match(error.message, /^older entries are on the runner \(offline\)$/);
    await using daemon = await Peer.open(one, "runner", "ann");
    daemon.send({
      type: "register_runner",
      protocolVersion: 1,
      runnerId: "runner-1",
      name: "box",
      roots: ["/work"],
      agents: [],
      version: "0.1.0",
      platform: "linux",
      sessionIds: [],
      warnings: [],
    });
    await daemon.next("runner_registered");
    load(viewer, count - 100);
    await answerHistory(daemon, journal);
    const page = await viewer.next("session_messages_page");
    assert.deepEqual(page.entries, journal.slice(count - 200, count - 100));
    assert.deepEqual([page.hasMore, page.oldestIndex, page.before], [true, count - 100, count - 100]);
    // A page that does not fit is none.
    load(viewer, 100);
    await answerHistory(daemon, journal.slice(1));
    assert.match((await viewer.next("error")).message, /does not end before entry 100/);
    load(viewer, 100);
    const { requestId } = await daemon.next("load_history");
    daemon.send({
      type: "history_page",
      requestId,
      sessionId: "s",
      entries: [],
      hasMore: false,
      error: "the disk is gone",
    });
    assert.match((await viewer.next("error")).message, /older entries are on the runner "box".*the disk is gone/);
  });
});
