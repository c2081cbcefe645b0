import assert from "node:assert/strict";
import fc from "fast-check";
import { openKv } from "@/lib/kv/open.ts";
import { keys } from "@/lib/kv/keys.ts";
import { DirectWay } from "./direct.ts";
import { Link, MailboxReader, type Part } from "./mailbox.ts";
import { openMesh } from "./mesh.ts";
import type { PeerSocket } from "./peer_sockets.ts";
import { TICKET_HEADER } from "./peer_sockets.ts";
import type { Mesh, MeshPayload } from "./types.ts";

/** Two ends of a socket whose messages arrive when the test says so, and which breaks at any moment. */
class Wire {
  readonly ends: readonly [PeerSocket, PeerSocket];
  readonly #waiting: [Uint8Array[], Uint8Array[]] = [[], []];
  #isBroken = false;

  constructor(names: readonly [string, string]) {
    const end = (at: 0 | 1): PeerSocket => ({
      isolateId: names[1 - at]!,
      lifetime: "borrowed",
      transport: {
        send: (message) => {
          if (!this.#isBroken) this.#waiting[at].push(message.slice());
        },
        bufferedBytes: () => 0,
      },
      onMessage: null,
      onClosed: null,
      close: () => {
        this.#isBroken = true;
      },
    });
    this.ends = [end(0), end(1)];
  }

  /** Lets the next message of one end arrive. */
  step(from: 0 | 1): boolean {
    const message = this.#waiting[from].shift();
    if (message === undefined) return false;
    this.ends[1 - from as 0 | 1].onMessage?.(message);
    message.fill(0xff);
    return true;
  }

  /** Breaks: what is on its way still arrives, up to `lost` messages of each direction. */
  break(lost: number): void {
    this.#isBroken = true;
    for (const waiting of this.#waiting) waiting.splice(Math.max(0, waiting.length - lost));
  }

  /** One end learns that the socket is closed. */
  notice(at: 0 | 1): void {
    this.#isBroken = true;
    this.ends[at].onClosed?.("closed");
  }
}

/** An isolate: what it has to say, its way to the other, its mailbox, and what it was told. */
class Side {
  readonly told: number[] = [];
  readonly mailbox: Part[] = [];
  readonly way: DirectWay;
  readonly #link: Link;
  readonly #reader: MailboxReader;
  #outbox: string[] = [];
  #said = 0;

  constructor(kv: Deno.Kv, name: string, otherName: string) {
    this.#link = new Link(name, otherName, 1);
    this.#reader = new MailboxReader(kv, name, (error) => assert.fail(String(error)));
    this.way = new DirectWay({
      link: this.#link,
      take: (link, no, value) => this.#take(link, no, value),
      takenOf: (link) => this.#reader.takenOf(link),
      onTurn() {},
    });
  }

  say(): void {
    this.#outbox.push(String(this.#said++));
  }
  get said(): number {
    return this.#said;
  }
  get isDone(): boolean {
    return this.#outbox.length === 0;
  }

  /** As the postman does. */
  flush(other: Side): void {
    if (this.way.isDirect) this.way.send(this.#pack());
    else if (this.way.mayPost()) other.mailbox.push(...this.way.takeUntaken(), ...this.#pack());
  }

  readMail(): boolean {
    const part = this.mailbox.shift();
    if (part !== undefined) this.#take(part.link, part.no, part.value);
    return part !== undefined;
  }

  #pack(): Part[] {
    const messages = this.#outbox;
    this.#outbox = [];
    return messages.length === 0 ? [] : this.#link.pack(messages);
  }

  #take(link: string, no: number, value: Uint8Array): void {
    this.#reader.take(link, no, value, ({ messages }) => {
      assert.notEqual(messages, null, "a gap");
      this.told.push(...messages as number[]);
      this.way.tookParts();
    });
  }
}

Deno.test("whatever breaks when, between socket and mailbox nothing is lost, doubled or reordered", async () => {
  const kv = await openKv(":memory:");
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("say" as const), at: fc.constantFrom(0, 1) }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("flush" as const), at: fc.constantFrom(0, 1) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("mail" as const), at: fc.constantFrom(0, 1) }) },
    {
      weight: 12,
      arbitrary: fc.record({ do: fc.constant("wire" as const), at: fc.constantFrom(0, 1), wire: fc.nat(3) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("tell" as const), at: fc.constantFrom(0, 1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("connect" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("break" as const), wire: fc.nat(3), lost: fc.nat(5) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("notice" as const), at: fc.constantFrom(0, 1), wire: fc.nat(3) }),
    },
  );
  let directSteps = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      const sides = [new Side(kv, "a", "b"), new Side(kv, "b", "a")] as const;
      const wires: Wire[] = [];
      for (const now of steps) {
        if (sides[0].way.isDirect) directSteps++;
        switch (now.do) {
          case "say":
            sides[now.at]!.say();
            break;
          case "flush":
            sides[now.at]!.flush(sides[1 - now.at]!);
            break;
          case "mail":
            sides[now.at]!.readMail();
            break;
          case "wire":
            wires.at(-1 - now.wire)?.step(now.at as 0 | 1);
            break;
          case "tell":
            sides[now.at]!.way.tell();
            break;
          case "connect": {
            const wire = new Wire(["a", "b"]);
            wires.push(wire);
            sides[0].way.add(wire.ends[0]);
            sides[1].way.add(wire.ends[1]);
            break;
          }
          case "break":
            wires.at(-1 - now.wire)?.break(now.lost);
            break;
          case "notice":
            wires.at(-1 - now.wire)?.notice(now.at as 0 | 1);
            break;
        }
      }
      // The end: every socket breaks, and the mailboxes are read.
      for (const wire of wires) for (const at of [0, 1] as const) wire.notice(at);
      for (const at of [0, 1] as const) {
        while (!sides[at].isDone) sides[at].flush(sides[1 - at as 0 | 1]);
        sides[at].flush(sides[1 - at as 0 | 1]);
      }
      for (const side of sides) while (side.readMail());
      for (const at of [0, 1] as const) {
        assert.deepEqual(sides[at].told, Array.from({ length: sides[1 - at as 0 | 1].said }, (_, n) => n));
        sides[at].way[Symbol.dispose]();
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(directSteps > 1_000, `only ${directSteps} steps while a socket was used`);
  kv.close();
});

Deno.test("when the socket in use breaks, what it lost goes into the mailbox, and the other socket is used", async () => {
  const kv = await openKv(":memory:");
  const [a, b] = [new Side(kv, "a", "b"), new Side(kv, "b", "a")];
  const wires = [new Wire(["a", "b"]), new Wire(["a", "b"])];
  for (const wire of wires) {
    a.way.add(wire.ends[0]);
    b.way.add(wire.ends[1]);
  }
  const settle = () => {
    for (let moves = true; moves;) {
      a.flush(b);
      moves = wires.some((wire) => wire.step(0) || wire.step(1)) || b.readMail();
    }
  };
  settle();
  assert.ok(a.way.isDirect);
  a.say();
  settle();
  for (let n = 0; n < 3; n++) a.say();
  a.flush(b);
  assert.equal(b.mailbox.length, 0, "sent directly");
  wires[0]!.break(3);
  wires[0]!.notice(0);
  assert.ok(!a.way.isDirect);
  settle();
  assert.ok(a.way.isDirect, "the other socket is used");
  assert.deepEqual(b.told, [0, 1, 2, 3]);
  for (const side of [a, b]) side.way[Symbol.dispose]();
  kv.close();
});

/** Isolates of one hub that reach each other on sockets of this machine. */
class Isolates implements AsyncDisposable {
  readonly kv: Deno.Kv;
  readonly #servers: Deno.HttpServer[] = [];
  readonly #meshes: Mesh[] = [];

  constructor(kv: Deno.Kv) {
    this.kv = kv;
  }

  async open(isolateId: string, options: { url?: string; onUnreachable?(isolateId: string): void } = {}) {
    let mesh: Mesh | null = null;
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (req) => mesh!.upgrade(req));
    this.#servers.push(server);
    const url = `http://127.0.0.1:${server.addr.port}`;
    mesh = await openMesh({ kv: this.kv, isolateId, url, renewMs: 50, ...options });
    this.#meshes.push(mesh);
    return { mesh, url };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const mesh of this.#meshes) await mesh[Symbol.asyncDispose]();
    for (const server of this.#servers) await server.shutdown();
    this.kv.close();
  }
}

/** Resolves with everything that came once `isDone` holds of it. */
function collect(
  mesh: Mesh,
  topic: "session:s",
): { ready: Promise<void>; until(count: number): Promise<MeshPayload[]> } {
  const all: MeshPayload[] = [];
  let wake = () => {};
  const { ready } = mesh.subscribe(topic, (payload) => {
    all.push(payload);
    wake();
  });
  return {
    ready,
    until: async (count) => {
      while (all.length < count) await new Promise<void>((resolve) => wake = resolve);
      return all;
    },
  };
}

/** Resolves when messages go directly to all its peers. */
async function direct(mesh: Mesh, peers: number): Promise<void> {
  while (mesh.stats().direct < peers) await new Promise((resolve) => setTimeout(resolve, 5));
}

Deno.test("isolates that reach each other use sockets, both ways, and leave the database alone", async () => {
  await using isolates = new Isolates(await openKv(":memory:"));
  const { mesh: a } = await isolates.open("a");
  const { mesh: b } = await isolates.open("b");
  const [atA, atB] = [collect(a, "session:s"), collect(b, "session:s")];
  await Promise.all([atA.ready, atB.ready]);
  await Promise.all([direct(a, 1), direct(b, 1)]);
  b.serve("double", (value) => Promise.resolve(Number(value) * 2));
  const bells = () => isolates.kv.getMany([keys.mailbox.bell("a"), keys.mailbox.bell("b")]);
  const before = await bells();
  const big = "ü".repeat(100_000);
  for (let n = 0; n < 500; n++) a.publish("session:s", n === 250 ? big : n);
  const expected = Array.from({ length: 500 }, (_, n) => n === 250 ? big : n);
  assert.deepEqual(await atB.until(500), expected);
  assert.deepEqual(await atA.until(500), expected, "its own subscribers are served too");
  assert.equal(await a.call("b", "double", 21), 42);
  for (let n = 0; n < 100; n++) b.publish("session:s", n);
  assert.equal((await atA.until(600)).at(-1), 99);
  const after = await bells();
  assert.deepEqual(after.map(({ versionstamp }) => versionstamp), before.map(({ versionstamp }) => versionstamp));
});

Deno.test("an isolate that is not reached where it says is served by its mailbox, and that is said", async () => {
  await using isolates = new Isolates(await openKv(":memory:"));
  // Nothing answers there.
  const { mesh: a } = await isolates.open("a", { url: "http://127.0.0.1:1" });
  const unreachable = Promise.withResolvers<string>();
  const { mesh: b } = await isolates.open("b", { url: "http://127.0.0.1:1", onUnreachable: unreachable.resolve });
  const atA = collect(a, "session:s");
  await atA.ready;
  assert.equal(await unreachable.promise, "a");
  b.publish("session:s", 1);
  assert.deepEqual(await atA.until(1), [1]);
  assert.equal(b.stats().direct, 0);
});

Deno.test("nobody but an isolate of the hub is let in, and none in another's name", async () => {
  await using isolates = new Isolates(await openKv(":memory:"));
  const { mesh: a, url } = await isolates.open("a");
  const headers = { connection: "upgrade", upgrade: "websocket", [TICKET_HEADER]: "b.a.1.00" };
  const answer = await fetch(url, { headers });
  assert.equal(answer.status, 401);
  assert.match(JSON.stringify(await answer.json()), /\/ws\/mesh is for isolates of this hub/);

  const wire = new Wire(["b", "a"]);
  const way = new DirectWay({
    link: { name: "a/1-x", nextNo: 0 },
    take: () => assert.fail("a part was taken"),
    takenOf: () => 0,
    onTurn() {},
  });
  const named = (kind: number, text: string) => Uint8Array.of(kind, ...new TextEncoder().encode(text));
  for (
    const message of [named(1, "c/1-x"), named(2, "12345678"), named(9, "12345678"), named(2, ""), new Uint8Array()]
  ) {
    const hostile = new Wire(["b", "a"]);
    way.add(hostile.ends[1]);
    assert.ok(way.isConnected);
    hostile.ends[1].onMessage!(message);
    assert.ok(!way.isConnected, `${message} was accepted`);
  }
  way.add(wire.ends[1]);
  wire.ends[1].onMessage!(named(1, "b/1-x"));
  assert.ok(way.isConnected);
  way[Symbol.dispose]();
  assert.deepEqual(a.liveIsolates(), ["a"]);
});
