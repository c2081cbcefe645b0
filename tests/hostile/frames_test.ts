/** Hostile frames on every namespace of the real hub: each gets a typed error or is counted, and nobody else notices. */
import assert from "node:assert/strict";
import { closeCodes, limits, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { type HubProcess, startHub } from "../support/hub.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { bearer, type Namespace, Peer } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";

interface NamespaceCase {
  namespace: Namespace;
  /** Makes the socket one that the hub knows. */
  greet?(peer: Peer): Promise<void>;
  /** Messages of known types with a wrong field, and the field that the error must name. */
  wrongFields: [message: object, field: string][];
}

const id = () => crypto.randomUUID();

function register(sessionId: string): object {
  return {
    type: "register",
    protocolVersion: PROTOCOL_VERSION,
    sessionId,
    runnerId: "runner-1",
    logId: id(),
    lastSeq: 0,
    cwd: "/work",
    sessionName: null,
    agent: { id: "custom", name: "Scripted" },
    startedAt: 1,
  };
}

function registerRunner(runnerId: string): object {
  return {
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId,
    name: "scripted",
    roots: ["/work"],
    agents: [],
    version: "0.1.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  };
}

const cases: NamespaceCase[] = [
  {
    namespace: "relay",
    async greet(peer) {
      peer.send(register(id()));
      await peer.next("registered");
    },
    wrongFields: [
      [{ ...register("s"), lastSeq: -1 }, "lastSeq"],
      [{ ...register("s"), sessionId: "../../etc" }, "sessionId"],
      [{ type: "event", sessionId: "s", epoch: 0, seq: 1 }, "entry"],
      [{ type: "event", sessionId: "s", epoch: 0, seq: 1, entry: { id: "e", index: 0.5 } }, "entry.index"],
      [{ type: "delta", sessionId: "s", epoch: 0, entryId: "e", at: 0, text: 5 }, "text"],
      [{ type: "command_result", op: "o", status: "perhaps" }, "status"],
    ],
  },
  {
    namespace: "runner",
    async greet(peer) {
      peer.send(registerRunner(id()));
      await peer.next("runner_registered");
    },
    wrongFields: [
      [{ ...registerRunner("r"), roots: [] }, "roots"],
      [{ ...registerRunner("r"), roots: ["/", 5] }, "roots.1"],
      [{ type: "session_killed", sessionId: "s", end: { reason: "bored", at: 1 } }, "end.reason"],
      [{ type: "file_result", requestId: "", ok: true }, "requestId"],
    ],
  },
  {
    namespace: "viewer",
    wrongFields: [
      [{ type: "switch_session", sessionId: "", generation: 1 }, "sessionId"],
      [{ type: "switch_session", sessionId: "s", generation: 1, cursor: { epoch: 0 } }, "cursor.seq"],
      [{ type: "load_messages", sessionId: "s", generation: 1, before: 5, limit: 1e9 }, "limit"],
      [{ type: "command", op: "o", sessionId: "s", command: { kind: "format_disk" } }, "command.kind"],
      [{ type: "command", op: "o", sessionId: "s", command: { kind: "prompt", text: 1 } }, "command.text"],
    ],
  },
  { namespace: "hub", wrongFields: [[{ type: "ping", at: "now" }, "at"]] },
  { namespace: "runners", wrongFields: [[{ type: "pong", at: -5 }, "at"]] },
];

/** A session whose stream must not notice anything of what happens beside it. */
class Bystander implements AsyncDisposable {
  readonly host: ScriptedProducer;
  readonly viewer: ScriptedViewer;
  readonly #hub: HubProcess;

  private constructor(hub: HubProcess, host: ScriptedProducer) {
    this.#hub = hub;
    this.host = host;
    this.viewer = new ScriptedViewer(hub, host.sessionId);
  }

  static async watch(hub: HubProcess): Promise<Bystander> {
    const host = new ScriptedProducer(hub);
    await host.registered();
    host.say("hello");
    await host.settled();
    const bystander = new Bystander(hub, host);
    await bystander.viewer.live();
    return bystander;
  }

  /** The hub is healthy and the very same process, and the stream goes on over the very same sockets. */
  async assertUnharmed(): Promise<void> {
    assert.equal((await this.#hub.health())?.status, "ok");
    assert.equal(this.#hub.child.isOver, false);
    this.host.say(`message ${this.host.lastSeq}`);
    await this.host.settled();
    await this.viewer.until(() => this.viewer.timeline.cursor?.seq === this.host.lastSeq, "the bystander's stream");
    assert.equal(this.host.counts.connects, 1);
    assert.equal(this.viewer.counts.connects, 1);
    assert.deepEqual(this.viewer.shown().map((entry) => entry.index), this.host.records.map((_, index) => index));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.viewer[Symbol.asyncDispose]();
    await this.host[Symbol.asyncDispose]();
  }
}

/** The socket still serves: a ping is answered. */
async function assertAlive(peer: Peer): Promise<void> {
  const at = Math.floor(performance.now());
  peer.send({ type: "ping", at });
  await peer.next("pong", (message) => message.at === at);
}

Deno.test("hostile frames on every namespace", async (t) => {
  await using hub = await startHub();
  await using bystander = await Bystander.watch(hub);
  for (const { namespace, greet, wrongFields } of cases) {
    const open = async () => {
      const peer = await Peer.open(hub, namespace);
      await greet?.(peer);
      return peer;
    };

    await t.step(`${namespace}: what is not a message is a bad_frame, and the socket stays`, async () => {
      await using peer = await open();
      const before = await hub.metric("perch_frames_refused_total", "bad_frame");
      for (const text of ["{", "", "null", "5", '"register"', "[[]]", '{"type":5}', "[".repeat(100_000), "\u0000"]) {
        peer.socket.send(text);
        assert.equal((await peer.next("error")).code, "bad_frame", JSON.stringify(text.slice(0, 20)));
      }
      peer.socket.send(new Uint8Array([1, 2, 3]));
      assert.match((await peer.next("error", (error) => error.code === "bad_frame")).message, /binary/);
      assert.equal(await hub.metric("perch_frames_refused_total", "bad_frame"), before + 10);
      await assertAlive(peer);
    });

    await t.step(`${namespace}: unknown types are ignored and counted, also names that every object has`, async () => {
      await using peer = await open();
      const before = await hub.metric("perch_unknown_types_total", namespace);
      const types = ["format_disk", "__proto__", "constructor", "toString", ""];
      for (const type of types) peer.send({ type });
      await assertAlive(peer);
      assert.equal(await hub.metric("perch_unknown_types_total", namespace), before + types.length);
      assert.deepEqual(peer.received.filter(({ type }) => type === "error"), []);
    });

    await t.step(`${namespace}: a wrong field is named, and the socket stays`, async () => {
      await using peer = await open();
      for (const [message, field] of wrongFields) {
        peer.send(message);
        const error = await peer.next("error");
        assert.equal(error.code, "invalid_message", JSON.stringify(message));
        assert.equal(error.field, field, error.message);
      }
      await assertAlive(peer);
    });

    await t.step(`${namespace}: an oversize frame is too_large, and the socket is closed`, async () => {
      for (const data of ["x".repeat(limits.frameBytes + 1), "€".repeat(limits.frameBytes / 2)]) {
        await using peer = await open();
        peer.socket.send(data);
        assert.equal((await peer.next("error")).code, "too_large");
        assert.equal((await peer.closed).code, closeCodes.protocolError);
      }
      await using binary = await open();
      binary.socket.send(new Uint8Array(limits.frameBytes + 1));
      assert.equal((await binary.next("error")).code, "too_large");
      assert.equal((await binary.closed).code, closeCodes.protocolError);
    });

    await t.step(`${namespace}: a frame of too many messages is too_large, and the socket stays`, async () => {
      await using peer = await open();
      peer.socket.send(JSON.stringify(Array(limits.messagesPerFrame + 1).fill({ type: "ping" })));
      assert.equal((await peer.next("error")).code, "too_large");
      await assertAlive(peer);
    });

    await t.step(`${namespace}: a flood of bad frames is told so and ends in a close`, async () => {
      await using peer = await open();
      const codes: string[] = [];
      do {
        peer.socket.send("{");
        codes.push((await peer.next("error")).code);
      } while (codes.at(-1) === "bad_frame" && codes.length < 1_000);
      assert.equal(codes.at(-1), "rate_limited");
      assert.equal((await peer.closed).code, closeCodes.protocolError);
    });

    await t.step(`${namespace}: text that is not UTF-8 harms nobody`, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: hub.port });
      const head = [
        `GET /ws/${namespace}?protocolVersion=${PROTOCOL_VERSION} HTTP/1.1`,
        `host: ${hub.host}`,
        "upgrade: websocket",
        "connection: Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        `authorization: ${bearer(hub.apiKey).authorization}`,
      ];
      await connection.write(new TextEncoder().encode(head.join("\r\n") + "\r\n\r\n"));
      // A masked text frame (its mask is zero) of two bytes that are not UTF-8, then one with reserved bits set.
      await connection.write(new Uint8Array([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]));
      await connection.write(new Uint8Array([0xf1, 0x80, 0, 0, 0, 0])).catch(() => {});
      // The hub ends the connection.
      const buffer = new Uint8Array(4_096);
      while (await connection.read(buffer).catch(() => null) !== null);
      connection.close();
    });

    await t.step(`${namespace}: meanwhile nobody else noticed`, () => bystander.assertUnharmed());
  }
});

Deno.test("records that do not fit the log are refused with a typed error", async (t) => {
  await using hub = await startHub();
  await using bystander = await Bystander.watch(hub);
  const event = (sessionId: string, epoch: number, seq: number) => ({
    type: "event",
    sessionId,
    epoch,
    seq,
    entry: {
      id: `e${seq}`,
      index: seq - 1,
      kind: "notice",
      head: { status: "completed", startedAt: 1, textLength: 0 },
      body: { level: "info", text: "x" },
    },
  });

  await t.step("before a registration, and for another session than the registered one", async () => {
    await using peer = await Peer.open(hub, "relay");
    peer.send(event("nobody", 0, 1));
    assert.equal((await peer.next("error")).field, "sessionId");
    peer.send(register("mine"));
    const { epoch } = await peer.next("registered");
    peer.send(event(bystander.host.sessionId, epoch, 1));
    assert.equal((await peer.next("error")).field, "sessionId");
    await assertAlive(peer);
  });

  await t.step("with a gap, and of another epoch", async () => {
    await using peer = await Peer.open(hub, "relay");
    const sessionId = id();
    peer.send(register(sessionId));
    const { epoch } = await peer.next("registered");
    peer.send(event(sessionId, epoch, 5));
    assert.equal((await peer.next("error")).code, "gap");
    peer.send(event(sessionId, epoch, 1));
    assert.equal((await peer.next("event_ack")).seq, 1, "after a gap the right record is still taken");
    peer.send(event(sessionId, epoch + 7, 2));
    assert.equal((await peer.next("error")).code, "stale_epoch");
    assert.equal((await peer.closed).code, closeCodes.replaced);
  });

  await t.step("more uncommitted text than a session may hold", async () => {
    await using peer = await Peer.open(hub, "relay");
    const sessionId = id();
    peer.send(register(sessionId));
    const { epoch } = await peer.next("registered");
    peer.send({
      ...event(sessionId, epoch, 1),
      entry: {
        id: "open",
        index: 0,
        kind: "agent_message",
        head: { status: "running", startedAt: 1, textLength: 0 },
        body: { text: "" },
      },
    });
    const text = "x".repeat(limits.deltaChars);
    for (let at = 0; at <= limits.entryBytes; at += text.length) {
      peer.send({ type: "delta", sessionId, epoch, entryId: "open", at, text });
    }
    assert.equal((await peer.next("error")).code, "too_large");
    peer.send({ type: "delta", sessionId, epoch, entryId: "open", at: 0, text: "x".repeat(limits.deltaChars + 1) });
    assert.equal((await peer.next("error", (error) => error.code === "invalid_message")).field, "text");
  });

  await t.step("meanwhile nobody else noticed", () => bystander.assertUnharmed());
});
