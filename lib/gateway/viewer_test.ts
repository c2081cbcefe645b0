import assert from "node:assert/strict";
import { SessionTimeline } from "@/protocol/log/mod.ts";
import { type Event, limits } from "@/protocol/mod.ts";
import { attachViewer, metaEvent, Peer, register, startHub, textEvent } from "./testing.ts";

async function hostWith(hub: { host: string }, sessionId: string, records: number, user = "ann") {
  const host = await Peer.open(hub, "relay", user);
  host.send(register(sessionId));
  const { epoch } = await host.next("registered");
  if (records > 0) {
    host.send(...Array.from({ length: records }, (_, at) => textEvent(sessionId, epoch, at + 1)));
    await host.next("event_ack", ({ seq }) => seq === records);
  }
  return { host, epoch };
}

Deno.test("a returning viewer gets what changed since its cursor, each entry once, and goes on live", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host, epoch } = await hostWith(hub, "s1", 5);
  await using _host = host;
  host.send(textEvent("s1", epoch, 6, "again", { index: 0 }), metaEvent("s1", epoch, 7, "A title"));
  await host.next("event_ack", ({ seq }) => seq === 7);
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 3, cursor: { epoch, seq: 4 } });
  const connected = await viewer.next("connected");
  assert.equal(connected.verdict, "resume");
  assert.equal(connected.info.sessionId, "s1");
  const changes = await viewer.next("changes");
  assert.equal(changes.generation, 3);
  assert.deepEqual(changes.entries.map(({ seq }: { seq: number }) => seq), [5, 6]);
  assert.equal(changes.meta.title, "A title");
  assert.deepEqual(changes.cursor, { epoch, seq: 7 });
  assert.equal(changes.more, false);
  host.send(textEvent("s1", epoch, 8, "new", { index: 5 }));
  assert.equal((await viewer.next("event")).seq, 8);
});

Deno.test("another epoch is a snapshot; a cursor beyond the log is ahead and gets nothing but what comes", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host, epoch } = await hostWith(hub, "s1", 2);
  await using _host = host;
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 1, cursor: { epoch: epoch + 7, seq: 2 } });
  assert.equal((await viewer.next("connected")).verdict, "snapshot");
  const snapshot = await viewer.next("snapshot");
  assert.equal(snapshot.entries.length, 2);
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 2, cursor: { epoch, seq: 4 } });
  assert.equal((await viewer.next("connected")).verdict, "ahead");
  host.send(textEvent("s1", epoch, 3), textEvent("s1", epoch, 4), textEvent("s1", epoch, 5));
  await viewer.next("event", ({ seq }) => seq === 5);
  assert.ok(!viewer.received.some(({ type }) => type === "snapshot" || type === "changes"));
});

Deno.test("switching leaves the session before, and the answers of the last switch win", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const a = await hostWith(hub, "a", 1);
  const b = await hostWith(hub, "b", 1);
  await using _a = a.host;
  await using _b = b.host;
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send(
    { type: "switch_session", sessionId: "a", generation: 1 },
    { type: "switch_session", sessionId: "b", generation: 2 },
  );
  await viewer.next("snapshot", ({ generation }) => generation === 2);
  a.host.send(textEvent("a", a.epoch, 2));
  await a.host.next("event_ack");
  b.host.send(textEvent("b", b.epoch, 2));
  assert.equal((await viewer.next("event")).sessionId, "b");
});

Deno.test("older pages come on demand, with the open text of their entries", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host, epoch } = await hostWith(hub, "s1", 0);
  await using _host = host;
  const events = Array.from(
    { length: 150 },
    (_, at) => textEvent("s1", epoch, at + 1, "", { status: at === 10 ? "running" : "completed" }),
  );
  host.send(...events, { type: "delta", sessionId: "s1", epoch, entryId: "entry-10", at: 0, text: "typed so far" });
  await host.next("event_ack", ({ seq }) => seq === 150);
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 1 });
  const snapshot = await viewer.next("snapshot");
  assert.equal(snapshot.entries.length, limits.pageEntries);
  assert.equal(snapshot.entries[0].index, 50);
  viewer.received.length = 0;
  viewer.send({ type: "load_messages", sessionId: "s1", generation: 1, before: 50, limit: 45 });
  const page = await viewer.next("session_messages_page");
  assert.deepEqual([page.entries[0].index, page.entries.length, page.hasMore], [5, 45, true]);
  assert.equal((await viewer.next("delta")).text, "typed so far");
});

Deno.test("another user's session is answered exactly as an unknown one", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host } = await hostWith(hub, "s1", 1);
  await using _host = host;
  await using viewer = await Peer.open(hub, "viewer", "bob");
  const requests = (sessionId: string) => [
    { type: "switch_session", sessionId, generation: 1 },
    { type: "load_messages", sessionId, generation: 1, before: 5, limit: 5 },
    { type: "command", sessionId, op: "op-1", command: { kind: "cancel" } },
  ];
  for (const at of [0, 1, 2]) {
    viewer.send(requests("s1")[at]!);
    const foreign = JSON.stringify(await viewer.next("error"));
    viewer.send(requests("s0")[at]!);
    const unknown = JSON.stringify(await viewer.next("error"));
    assert.match(unknown, /"not_found"/);
    assert.equal(foreign.replaceAll("s1", "s0"), unknown);
  }
});

Deno.test("a command waits visibly for its host, is delivered, repeated until its receipt, and settled once", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const first = await hostWith(hub, "s1", 1);
  await using viewer = await attachViewer(hub, "s1");
  const command = { kind: "prompt", text: "go", delivery: "prompt" };
  viewer.send({ type: "command", sessionId: "s1", op: "op-1", command });
  const accepted = await viewer.next("command_status");
  assert.deepEqual([accepted.op, accepted.status, accepted.sessionId], ["op-1", "accepted", "s1"]);
  const delivered = await first.host.next("command");
  assert.deepEqual([delivered.op, delivered.from, delivered.command], ["op-1", "ANN", command]);
  await first.host[Symbol.asyncDispose]();
  await viewer.next("session_status", ({ session }) => !session.isActive);

  viewer.send({ type: "command", sessionId: "s1", op: "op-1", command });
  assert.equal((await viewer.next("command_status")).status, "accepted", "the same op is stored once");
  await using late = await Peer.open(hub, "viewer", "ann");
  late.send({ type: "switch_session", sessionId: "s1", generation: 1 });
  const { inbox } = await late.next("connected");
  assert.deepEqual(inbox.map(({ op, status }: { op: string; status: string }) => [op, status]), [["op-1", "accepted"]]);

  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1", { lastSeq: 1 }));
  assert.equal((await host.next("command")).op, "op-1", "delivered again");
  const receipt = { type: "command_result", op: "op-1", status: "applied" };
  host.send(receipt);
  assert.equal((await viewer.next("command_status")).status, "applied");
  host.send(receipt, { type: "command_result", op: "op-9", status: "rejected" });
  viewer.send({ type: "command", sessionId: "s1", op: "op-1", command });
  assert.equal((await viewer.next("command_status")).status, "applied", "asking again tells how it ended");
  assert.equal(hub.hub.counters.get("commands_settled", "applied"), 1);
  assert.ok(!host.received.some(({ type }) => type === "command"));
});

Deno.test("deleting a session ends its viewers and its host", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host } = await hostWith(hub, "s1", 1);
  await using viewer = await attachViewer(hub, "s1");
  await using list = await Peer.open(hub, "hub", "ann");
  await list.next("sessions");
  const { deleteSession } = await import("@/lib/hub_sessions.ts");
  const principal = { userId: "ann", userName: "ANN", credential: { kind: "key" as const, id: "k" } };
  await deleteSession(hub.hub.gateways.context, principal, "s1");
  assert.equal((await viewer.next("disconnected")).code, "session_deleted");
  await host.next("session_expired");
  await host.closed;
  assert.equal((await list.next("session_removed")).sessionId, "s1");
});

Deno.test("viewers are counted while they look", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host } = await hostWith(hub, "s1", 1);
  await using _host = host;
  await using viewer = await attachViewer(hub, "s1");
  await viewer.next("session_status", ({ session }) => session.viewerCount === 1);
  const other = await attachViewer(hub, "s1");
  await viewer.next("session_status", ({ session }) => session.viewerCount === 2);
  other.send({ type: "viewer_visibility", visible: false, seenSeq: 1 });
  const { session } = await viewer.next("session_status", ({ session }) => session.viewerCount === 1);
  assert.equal(session.unread, false);
  await other[Symbol.asyncDispose]();
});

Deno.test("a viewer that does not read is cut down to fresh state, and the others notice nothing", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { host, epoch } = await hostWith(hub, "s1", 0);
  await using _host = host;
  await using quick = await attachViewer(hub, "s1");
  using slow = await RawViewer.open(hub.host, "ann");
  slow.send({ type: "switch_session", sessionId: "s1", generation: 1 });
  const timeline = new SessionTimeline("s1");
  timeline.attach(1);
  await slow.readUntil(({ type }) => type === "snapshot", timeline);

  const text = "x".repeat(200_000);
  let seq = 0;
  while (hub.hub.counters.get("viewers_slow") === 0) {
    seq++;
    assert.ok(seq < 400, "80 MB should not fit into any socket");
    host.send(textEvent("s1", epoch, seq, text, { index: 0 }));
    await host.next("event_ack", (ack) => ack.seq === seq);
  }
  host.send(textEvent("s1", epoch, ++seq, "last", { index: 0 }));
  await quick.next("event", (event) => event.seq === seq);

  await slow.readUntil(({ type, code }) => type === "disconnected" && code === "lagging", timeline);
  assert.ok(timeline.cursor!.seq < seq);
  slow.send(timeline.attach(2));
  await slow.readUntil(({ type }) => type === "changes", timeline);
  assert.equal(timeline.cursor!.seq, seq);
  assert.equal(timeline.textOf("entry-0"), "last");
});

/** A viewer over a plain TCP socket, which reads only when it is asked to. */
class RawViewer implements Disposable {
  readonly #conn: Deno.TcpConn;
  #bytes = new Uint8Array(0);

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  static async open(host: string, user: string): Promise<RawViewer> {
    const [hostname, port] = host.split(":");
    const viewer = new RawViewer(await Deno.connect({ hostname, port: Number(port) }));
    await viewer.#conn.write(new TextEncoder().encode(
      `GET /ws/viewer HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n` +
        `Authorization: Bearer key-${user}\r\n\r\n`,
    ));
    for (;;) {
      const end = new TextDecoder("latin1").decode(viewer.#bytes).indexOf("\r\n\r\n");
      if (end >= 0) {
        viewer.#bytes = viewer.#bytes.slice(end + 4);
        return viewer;
      }
      await viewer.#read();
    }
  }

  /** Sends a small message, masked with zeros. */
  send(message: object): void {
    const payload = new TextEncoder().encode(JSON.stringify(message));
    assert.ok(payload.length < 65_536);
    const length = payload.length < 126 ? [0x80 | payload.length] : [0xfe, payload.length >> 8, payload.length & 255];
    this.#conn.write(new Uint8Array([0x81, ...length, 0, 0, 0, 0, ...payload]));
  }

  /** Reads messages into the timeline up to one for which `test` holds. */
  async readUntil(
    test: (message: { type: string; code?: string }) => boolean,
    timeline: SessionTimeline,
  ): Promise<void> {
    for (;;) {
      const frame = await this.#frame();
      const value = JSON.parse(new TextDecoder().decode(frame));
      let isFound = false;
      for (const message of Array.isArray(value) ? value : [value]) {
        timeline.apply(message as Event);
        isFound ||= test(message);
      }
      if (isFound) return;
    }
  }

  async #frame(): Promise<Uint8Array> {
    for (;;) {
      const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
      const short = this.#bytes.length >= 2 ? view.getUint8(1) & 127 : -1;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (short >= 0 && this.#bytes.length >= header) {
        const length = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
        if (this.#bytes.length >= header + length) {
          const isText = (view.getUint8(0) & 15) === 1;
          const payload = this.#bytes.slice(header, header + length);
          this.#bytes = this.#bytes.subarray(header + length);
          if (isText) return payload;
          continue;
        }
      }
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    const chunk = new Uint8Array(256 * 1024);
    const read = await this.#conn.read(chunk);
    assert.ok(read !== null, "the hub closed the connection");
    const joined = new Uint8Array(this.#bytes.length + read);
    joined.set(this.#bytes);
    joined.set(chunk.subarray(0, read), this.#bytes.length);
    this.#bytes = joined;
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}
