import assert from "node:assert/strict";
import { SessionTimeline } from "@/protocol/log/mod.ts";
import { closeCodes, type Delta, type Event } from "@/protocol/mod.ts";
import { attachViewer, PATIENCE_MS, Peer, register, startHub, type TestHub, textEvent } from "./testing.ts";

Deno.test("a viewer on another isolate gets committed, uncommitted and open text, then live frames", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using host = await Peer.open(near, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  const delta: Delta = { type: "delta", sessionId: "s1", epoch, entryId: "entry-1", at: 0, text: "open" };
  host.send(textEvent("s1", epoch, 1), textEvent("s1", epoch, 2, "", { status: "running" }), delta);
  await host.next("event_ack", ({ seq }) => seq === 2);
  await using viewer = await attachViewer(far, "s1");
  assert.equal((await viewer.next("delta")).text, "open");
  host.send({ ...delta, at: 4, text: " text" });
  assert.equal((await viewer.next("delta")).text, " text");
  host.send(textEvent("s1", epoch, 3, "open text", { index: 1 }));
  assert.equal((await viewer.next("event")).seq, 3);
});

Deno.test("commands, receipts and the session list work across isolates", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using host = await Peer.open(near, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  await using list = await Peer.open(far, "hub", "ann");
  assert.equal((await list.next("sessions")).sessions.length, 1);
  await using viewer = await attachViewer(far, "s1");
  viewer.send({ type: "command", sessionId: "s1", op: "op-1", command: { kind: "cancel" } });
  assert.equal((await viewer.next("command_status")).status, "accepted");
  assert.equal((await host.next("command")).op, "op-1");
  host.send({ type: "command_result", op: "op-1", status: "rejected", reason: "nothing runs" });
  const status = await viewer.next("command_status");
  assert.deepEqual([status.status, status.reason], ["rejected", "nothing runs"]);
  await list.next("session_status", ({ session }) => session.viewerCount === 1);
  await using second = await Peer.open(near, "relay", "ann");
  second.send(register("s2"));
  assert.equal((await list.next("session_added")).session.sessionId, "s2");
});

Deno.test("a host that moves to another isolate closes its older socket there", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using older = await Peer.open(near, "relay", "ann");
  older.send(register("s1"));
  await older.next("registered");
  await using newer = await Peer.open(far, "relay", "ann");
  newer.send(register("s1"));
  await newer.next("registered");
  assert.equal((await older.closed).code, closeCodes.replaced);
  assert.equal((await near.store.sessions.info("ann", "s1"))?.isActive, true);
});

Deno.test("a revoked credential closes its sockets on every isolate, and no others", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using viewer = await Peer.open(far, "viewer", "ann");
  await using host = await Peer.open(near, "relay", "ann");
  await using browser = await Peer.open(far, "hub", "ann", { cookie: "session=ann", origin: `http://${far.host}` });
  await using other = await Peer.open(far, "hub", "bob");
  await browser.next("sessions");
  await other.next("sessions");
  near.hub.credentialRevoked("ann", { kind: "key", id: "ann-credential" });
  for (const peer of [viewer, host]) {
    assert.equal((await peer.closed).code, closeCodes.unauthorized);
    assert.equal(peer.received.at(-1)?.code, "unauthorized");
  }
  assert.equal(browser.socket.readyState, WebSocket.OPEN);
  assert.equal(other.socket.readyState, WebSocket.OPEN);
});

Deno.test("after a restart of the hub the host sends again from the ack, and the viewer misses and repeats nothing", async () => {
  const path = await Deno.makeTempFile({ suffix: ".kv" });
  try {
    const timeline = new SessionTimeline("s1");
    let epoch = 0;
    {
      using kv = await Deno.openKv(path);
      await using hub = await startHub(kv);
      await using host = await Peer.open(hub, "relay", "ann");
      host.send(register("s1"));
      ({ epoch } = await host.next("registered"));
      await using viewer = await Peer.open(hub, "viewer", "ann");
      viewer.send(timeline.attach(1));
      timeline.apply(await viewer.next("connected") as never);
      timeline.apply(await viewer.next("snapshot") as never);
      host.send(textEvent("s1", epoch, 1), textEvent("s1", epoch, 2));
      for (const _ of [1, 2]) timeline.apply(await viewer.next("event") as never);
      await host.next("event_ack", ({ seq }) => seq === 2);
    }
    // The viewer saw record 3, which the hub lost: it is ahead.
    timeline.apply(textEvent("s1", epoch, 3));
    using kv = await Deno.openKv(path);
    await using hub = await startHub(kv);
    await using viewer = await Peer.open(hub, "viewer", "ann");
    viewer.send(timeline.attach(2));
    const connected = await viewer.next("connected");
    assert.equal(connected.verdict, "ahead");
    assert.equal(connected.info.isActive, false);
    timeline.apply(connected as never);
    await using host = await Peer.open(hub, "relay", "ann");
    host.send(register("s1", { lastSeq: 4 }));
    const registered = await host.next("registered");
    assert.deepEqual([registered.epoch, registered.ackedSeq], [epoch, 2]);
    host.send(textEvent("s1", epoch, 3), textEvent("s1", epoch, 4));
    await host.next("event_ack", ({ seq }) => seq === 4);
    const effects = [timeline.apply(await viewer.next("event") as never)];
    effects.push(timeline.apply(await viewer.next("event") as never));
    assert.ok(effects.every(({ needsAttach }) => !needsAttach));
    assert.deepEqual(timeline.ids, ["entry-0", "entry-1", "entry-2", "entry-3"]);
    assert.equal(timeline.cursor?.seq, 4);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("another journal begins a new epoch, and viewers are told to attach again", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using host = await Peer.open(near, "relay", "ann");
  host.send(register("s1"));
  const { epoch } = await host.next("registered");
  host.send(textEvent("s1", epoch, 1));
  await host.next("event_ack");
  await using viewer = await attachViewer(far, "s1");
  host.send(register("s1", { logId: "another" }));
  const again = await host.next("registered");
  assert.ok(again.epoch > epoch);
  assert.equal(again.ackedSeq, 0);
  assert.equal((await viewer.next("disconnected")).code, "lagging");
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 2, cursor: { epoch, seq: 1 } });
  assert.equal((await viewer.next("connected")).verdict, "snapshot");
  assert.deepEqual((await viewer.next("snapshot")).entries, []);
});

/** Numbers from a seed (mulberry32), so that a failing run can be repeated. */
function randomFrom(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A host with a journal, which breaks its connection and comes back on either isolate. */
class ScriptedHost {
  readonly journal: (Event | Delta)[][] = [];
  #peer: Peer | null = null;
  #epoch = 0;
  #ackedSeq = 0;

  async connect(hub: TestHub): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
    this.#peer = await Peer.open(hub, "relay", "ann");
    this.#peer.send(register("s1", { lastSeq: this.journal.length }));
    const { epoch, ackedSeq } = await this.#peer.next("registered");
    this.#epoch = epoch;
    this.#ackedSeq = ackedSeq;
    const resend = this.journal.slice(ackedSeq).map((group) => group[0]!);
    const messages = [...resend, ...this.journal.at(-1)?.slice(1) ?? []];
    if (messages.length > 0) this.#peer.send(...messages);
  }

  /** The next record, with deltas after it when it is left open. */
  write(random: (below: number) => number): void {
    const seq = this.journal.length + 1;
    const before = this.journal.at(-1)?.[0] as Event | undefined;
    const isOpen = before?.entry?.head.status === "running";
    const index = isOpen ? before!.entry!.index : (before?.entry?.index ?? -1) + 1;
    const text = isOpen ? textOf(this.journal.at(-1)!) : "";
    const group: (Event | Delta)[] = [
      textEvent("s1", this.#epoch, seq, text, { index, status: isOpen ? "completed" : "running" }),
    ];
    if (!isOpen) {
      for (let at = 0, left = random(4); left > 0; left--) {
        const piece = `${seq}.${left} `;
        group.push({ type: "delta", sessionId: "s1", epoch: this.#epoch, entryId: `entry-${index}`, at, text: piece });
        at += piece.length;
      }
    }
    this.journal.push(group);
    for (const message of group) this.#peer?.send(message);
  }

  async acknowledged(): Promise<void> {
    const seq = this.journal.length;
    if (this.#ackedSeq >= seq) return;
    await this.#peer!.next("event_ack", (ack) => ack.seq === seq);
    this.#ackedSeq = seq;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
  }
}

function textOf(group: (Event | Delta)[]): string {
  return group.slice(1).map((delta) => (delta as Delta).text).join("");
}

/** A viewer that breaks its connection and comes back on either isolate, with its cursor. */
class ScriptedViewer {
  readonly timeline = new SessionTimeline("s1");
  #peer: Peer | null = null;
  #generation = 0;
  #applied = 0;

  async connect(hub: TestHub): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
    this.timeline.detach();
    this.#peer = await Peer.open(hub, "viewer", "ann");
    this.#applied = 0;
    this.#peer.send(this.timeline.attach(++this.#generation));
  }

  /** Applies what has arrived; attaches again when the stream asks for it. */
  drain(): void {
    const peer = this.#peer!;
    for (; this.#applied < peer.received.length; this.#applied++) {
      const message = peer.received[this.#applied]!;
      assert.notEqual(message.type, "error", message.message);
      const isLagging = message.type === "disconnected";
      const needsAttach = !isLagging && this.timeline.apply(message as never).needsAttach;
      if (isLagging || needsAttach) peer.send(this.timeline.attach(++this.#generation));
    }
  }

  async reaches(seq: number): Promise<void> {
    await this.#peer!.until(() => {
      this.drain();
      return this.timeline.cursor?.seq === seq && this.timeline.phase === "live" ? true : undefined;
    }, `seq ${seq} (at ${this.timeline.cursor?.seq}, ${this.timeline.phase})`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
  }
}

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`random breaks of host and viewers over two isolates lose and repeat nothing (seed ${seed})`, async () => {
    using kv = await Deno.openKv(":memory:");
    await using near = await startHub(kv);
    await using far = await startHub(kv);
    const hubs = [near, far];
    const random = randomFrom(seed);
    const pick = () => hubs[random(2)]!;
    await using host = new ScriptedHost();
    await host.connect(pick());
    await using first = new ScriptedViewer();
    await using second = new ScriptedViewer();
    const viewers = [first, second];
    for (const viewer of viewers) await viewer.connect(pick());
    const until = performance.now() + PATIENCE_MS;
    for (let step = 0; step < 120 && performance.now() < until; step++) {
      const dice = random(20);
      if (dice === 0) await host.connect(pick());
      else if (dice <= 2) await viewers[random(2)]!.connect(pick());
      else if (dice <= 5) await host.acknowledged();
      else for (let count = random(5) + 1; count > 0; count--) host.write(random);
      for (const viewer of viewers) viewer.drain();
    }
    do host.write(random); while ((host.journal.at(-1)![0] as Event).entry!.head.status === "running");
    await host.acknowledged();
    const written = new Map<string, string>();
    for (const [event] of host.journal) {
      const { id, body } = (event as Event).entry!;
      written.set(id, (body as { text: string }).text);
    }
    for (const viewer of viewers) {
      await viewer.reaches(host.journal.length);
      const { timeline } = viewer;
      assert.deepEqual(timeline.ids, [...written.keys()].slice(-timeline.ids.length));
      for (const id of timeline.ids) assert.equal(timeline.textOf(id), written.get(id));
    }
  });
}
