import assert from "node:assert/strict";
import { deleteRunner } from "@/lib/hub_runners.ts";
import type { Principal } from "@/lib/principal.ts";
import { ClientSocket } from "@/protocol/link/client_socket.ts";
import {
  decodeMessage,
  encodeData,
  encodeEnd,
  encodeOpen,
  encodePing,
  encodePong,
  encodeReset,
  type FrameHandler,
} from "@/protocol/link/codec.ts";
import { linkLimits, type StreamHeader } from "@/protocol/link/types.ts";
import { closeCodes, limits, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { LiveSocket } from "./context.ts";
import { acceptLink } from "./link.ts";
import { PATIENCE_MS, Peer, startHub } from "./testing.ts";

const ann: Principal = { userId: "ann", userName: "ANN", credential: { kind: "key", id: "ann-credential" } };
const header: StreamHeader = { kind: "terminal", terminalId: "t", viewerId: "v", canWrite: true };

/** A scripted runner's end of the link: says what it is told to, and notes what it gets. */
class LinkPeer implements FrameHandler {
  readonly #socket: ClientSocket;
  readonly #opened = Promise.withResolvers<void>();
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly texts: { type: string; code?: string; message?: string; field?: string }[] = [];
  /** Each frame as "type stream detail". */
  readonly frames: string[] = [];
  readonly resets: string[] = [];
  pings = 0;
  pongs = 0;
  lastStreamId = 0;
  #wake = Promise.withResolvers<void>();

  private constructor(host: string, user: string) {
    this.#socket = new ClientSocket(`ws://${host}/ws/link`, { authorization: `Bearer key-${user}` });
    const closed = Promise.withResolvers<{ code: number; reason: string }>();
    this.closed = closed.promise;
    this.#socket.onopen = () => this.#opened.resolve();
    this.#socket.onclose = (event) => {
      this.#opened.resolve();
      closed.resolve(event);
      this.#notify();
    };
    this.#socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.texts.push(JSON.parse(data));
      else decodeMessage(data, this);
      this.#notify();
    };
  }

  static async open({ host }: { host: string }, user = "ann"): Promise<LinkPeer> {
    const peer = new LinkPeer(host, user);
    await peer.#opened.promise;
    return peer;
  }

  /** Opens a link of a registered runner. */
  static async registered(hub: { host: string }, runnerId = "runner-1"): Promise<LinkPeer> {
    const peer = await LinkPeer.open(hub);
    peer.send(hello(runnerId));
    await peer.until(() => peer.texts.some(({ type }) => type === "link_registered"), "link_registered");
    return peer;
  }

  send(message: object | Uint8Array): void {
    this.#socket.send(message instanceof Uint8Array ? message : JSON.stringify(message));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  close(): void {
    this.#socket.close();
  }

  async until(check: () => boolean, what: string): Promise<void> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    const over = new Promise<never>((_, reject) =>
      late.addEventListener("abort", () => reject(new Error(`${what} did not come`)))
    );
    while (!check()) {
      if (this.#socket.readyState === WebSocket.CLOSED) throw new Error(`closed while waiting for ${what}`);
      await Promise.race([this.#wake.promise, over]);
    }
  }

  /** A ping and its answer: everything before it was taken. */
  async settled(): Promise<void> {
    const before = this.pongs;
    this.send(encodePing());
    await this.until(() => this.pongs > before, "a pong");
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  onOpen(streamId: number): void {
    this.lastStreamId = streamId;
  }
  onData(): void {}
  onCredit(): void {}
  onEnd(): void {}
  onReset(streamId: number, code: string): void {
    this.resets.push(`${streamId} ${code}`);
  }
  onPing(): void {
    this.pings++;
  }
  onPong(): void {
    this.pongs++;
  }
}

function hello(runnerId: string, more: object = {}): object {
  return { type: "register_link", protocolVersion: PROTOCOL_VERSION, runnerId, ...more };
}

async function openRunner(hub: { host: string }, runnerId = "runner-1", user = "ann"): Promise<Peer> {
  const runner = await Peer.open(hub, "runner", user);
  runner.send({
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId,
    name: "box",
    roots: ["/work"],
    agents: [],
    version: "1.0.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  });
  await runner.next("runner_registered");
  return runner;
}

Deno.test("a link that does not begin as it must gets a typed error and is closed", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using _runner = await openRunner(hub);
  const cases: [text: string | Uint8Array, error: string, closeCode: number][] = [
    ["{", "bad_frame", closeCodes.protocolError],
    ['{"type":"register_link","runnerId":"../x","protocolVersion":1}', "invalid_message", closeCodes.protocolError],
    ['{"type":"hello"}', "invalid_message", closeCodes.protocolError],
    [encodePing(), "invalid_message", closeCodes.protocolError],
    [JSON.stringify(hello("runner-1", { protocolVersion: 99 })), "protocol_version", closeCodes.protocolVersion],
    // Of nobody, and of somebody else: the answer is the same.
    [JSON.stringify(hello("runner-2")), "not_found", closeCodes.deleted],
  ];
  for (const [text, error, closeCode] of cases) {
    const peer = await LinkPeer.open(hub);
    if (typeof text === "string") peer.sendText(text);
    else peer.send(text);
    assert.equal((await peer.closed).code, closeCode, error);
    assert.equal(peer.texts[0]?.code, error);
  }
  const thief = await LinkPeer.open(hub, "bob");
  thief.send(hello("runner-1"));
  assert.equal((await thief.closed).code, closeCodes.deleted);
  assert.deepEqual(thief.texts, [{
    type: "error",
    code: "not_found",
    message: 'there is no runner "runner-1"',
    field: "runnerId",
  }]);
  const { status, body } = await fetch(`http://${hub.host}/ws/link`, { headers: { cookie: "session=ann" } });
  assert.equal(status, 401);
  await body?.cancel();
});

Deno.test("a registered link that breaks the protocol is closed, and its streams are lost", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using _runner = await openRunner(hub);
  const broken: (string | Uint8Array)[] = [
    "text",
    new Uint8Array([1, 2, 3]),
    new Uint8Array([0, 0, 0, 1, 99, 0, 0, 0]),
    encodeData(1, new Uint8Array(100)).subarray(0, 50),
    new Uint8Array(limits.frameBytes + 1),
  ];
  for (const message of broken) {
    const peer = await LinkPeer.registered(hub);
    const stream = await hub.hub.links.open("runner-1", header);
    if (typeof message === "string") peer.sendText(message);
    else peer.send(message);
    assert.notEqual((await peer.closed).code, 1000);
    assert.equal((await stream.closed)?.code, "link_lost");
    await assert.rejects(hub.hub.links.open("runner-1", header), { code: "unreachable" });
  }
});

Deno.test("frames of no stream, streams opened by the runner and overruns harm nothing but themselves", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using _runner = await openRunner(hub);
  const peer = await LinkPeer.registered(hub);
  for (const frame of [encodeData(9, new Uint8Array(9)), encodeEnd(9), encodeReset(9, "internal", "")]) {
    peer.send(frame);
  }
  peer.send(encodeOpen(7, header));
  await peer.settled();
  assert.deepEqual(peer.resets, ["7 refused"]);

  const greedy = await hub.hub.links.open("runner-1", header);
  await peer.settled();
  const greedyId = peer.lastStreamId;
  const other = await hub.hub.links.open("runner-1", header);
  await peer.settled();
  peer.send(encodeData(greedyId, new Uint8Array(linkLimits.firstBytes + 1)));
  assert.equal((await greedy.closed)?.code, "credit_overrun");
  await peer.settled();
  assert.equal(peer.resets.at(-1), `${greedyId} credit_overrun`);
  peer.send(encodeData(peer.lastStreamId, new Uint8Array(5)));
  assert.equal((await other.read())?.length, 5);
  peer.close();
  assert.equal((await other.closed)?.code, "link_lost");
  const { counters } = hub.hub;
  const counted = ["link_frames_ignored", "link_streams_refused", "link_streams"] as const;
  assert.deepEqual(counted.map((name) => counters.get(name)), [3, 1, 0]);
});

Deno.test("a link that says nothing for the limit is dead; one that answers pings is not", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using _runner = await openRunner(hub);
  const links: LiveSocket[] = [];
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (req) => {
    const { socket, response } = Deno.upgradeWebSocket(req, { idleTimeout: 0 });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => links.push(acceptLink(hub.hub.gateways.context, socket, ann, new URL(req.url)));
    return response;
  });
  const peer = await LinkPeer.registered({ host: `127.0.0.1:${server.addr.port}` });
  const link = links[0]!;
  const stream = await hub.hub.links.open("runner-1", header);
  link.beat(performance.now() + limits.heartbeatMs);
  await peer.until(() => peer.pings === 1, "a ping");
  const askedMs = performance.now();
  peer.send(encodePong());
  await peer.settled();
  // What counts is the silence since the answer, not since the question.
  link.beat(askedMs + limits.silenceMs - 1);
  assert.equal(link.isClosed, false);
  link.beat(performance.now() + limits.silenceMs - 1_000);
  assert.equal(link.isClosed, false);
  link.beat(performance.now() + limits.silenceMs);
  assert.ok(link.isClosed);
  assert.deepEqual(await peer.closed, { code: closeCodes.protocolError, reason: "silent for 15 s" });
  assert.equal((await stream.closed)?.code, "link_lost");
  await assert.rejects(hub.hub.links.open("runner-1", header), { code: "unreachable" });
  assert.equal(hub.hub.counters.get("sockets_silent", "link"), 1);
});

Deno.test("100,000 opens by a runner are refused one by one", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using _runner = await openRunner(hub);
  const peer = await LinkPeer.registered(hub);
  for (let streamId = 1; streamId <= 100_000; streamId++) peer.send(encodeOpen(streamId, header));
  await peer.settled();
  assert.equal(peer.resets.length, 100_000);
  assert.ok(peer.resets.every((reset) => reset.endsWith(" refused")));
  const stream = await hub.hub.links.open("runner-1", header);
  stream.reset("cancelled");
  peer.close();
  await peer.closed;
});

Deno.test("the newest link of a runner replaces the older, on whichever isolate", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  await using _runner = await openRunner(near);
  const first = await LinkPeer.registered(near);
  const second = await LinkPeer.registered(near);
  assert.equal((await first.closed).code, closeCodes.replaced);
  const third = await LinkPeer.registered(far);
  assert.equal((await second.closed).code, closeCodes.replaced);
  assert.equal(await near.hub.links.holderOf("runner-1"), far.hub.isolateId);
  const stream = await near.hub.links.open("runner-1", header);
  await third.until(() => third.lastStreamId > 0, "the stream from the other isolate");
  third.send(encodeData(third.lastStreamId, new Uint8Array(3)));
  assert.equal((await stream.read())?.length, 3);
  third.close();
  assert.equal((await stream.closed)?.code, "link_lost");
});

Deno.test("deleting the runner, and revoking its key, close its link", async () => {
  using kv = await Deno.openKv(":memory:");
  await using near = await startHub(kv);
  await using far = await startHub(kv);
  const runner = await openRunner(near);
  const link = await LinkPeer.registered(far);
  await deleteRunner(near.hub.gateways.context, ann, "runner-1");
  assert.equal((await link.closed).code, closeCodes.deleted);
  await runner[Symbol.asyncDispose]();
  await using _again = await openRunner(near, "runner-3");
  const other = await LinkPeer.registered(far, "runner-3");
  near.hub.credentialRevoked("ann", ann.credential);
  assert.equal((await other.closed).code, closeCodes.unauthorized);
});
