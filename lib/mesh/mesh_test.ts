import assert from "node:assert/strict";
import { openKv } from "@/lib/kv/open.ts";
import { faultyKv, seededFaults } from "@/lib/kv/testing.ts";
import { openMesh } from "./mesh.ts";
import { isMeshGap } from "./messages.ts";
import type { WorkerOrder } from "./mesh_worker.ts";
import { MeshError, type MeshPayload } from "./types.ts";

/** Collects what happens and lets a test wait until enough has. */
class Events<T> {
  readonly all: T[] = [];
  #waiting: { isDone: (all: T[]) => boolean; resolve: () => void }[] = [];

  push(event: T): void {
    this.all.push(event);
    for (const waiting of [...this.#waiting]) {
      if (!waiting.isDone(this.all)) continue;
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.resolve();
    }
  }

  async until(isDone: (all: T[]) => boolean): Promise<T[]> {
    if (!isDone(this.all)) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => reject(new Error(`still ${JSON.stringify(this.all).slice(0, 500)}`)), 10_000);
      this.#waiting.push({ isDone, resolve });
      await promise.finally(() => clearTimeout(timer));
    }
    return this.all;
  }
}

async function withKv(body: (kv: Deno.Kv, path: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  const kv = await openKv(`${dir}/hub.db`);
  try {
    await body(kv, `${dir}/hub.db`);
  } finally {
    kv.close();
    await Deno.remove(dir, { recursive: true });
  }
}

/** A KV whose reads of lists, and so of mailboxes, can be held up: an isolate that stands still. */
function heldKv(kv: Deno.Kv): { kv: Deno.Kv; hold(): void; release(): void } {
  let gate = Promise.withResolvers<void>();
  gate.resolve();
  const list: Deno.Kv["list"] = <T>(...args: Parameters<Deno.Kv["list"]>) => {
    const inner = kv.list<T>(...args);
    const next = inner.next.bind(inner);
    inner.next = async () => {
      await gate.promise;
      return await next();
    };
    return inner;
  };
  return {
    kv: new Proxy(kv, {
      get(target, name) {
        if (name === "list") return list;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      },
    }),
    hold: () => gate = Promise.withResolvers<void>(),
    release: () => gate.resolve(),
  };
}

async function keysOf(kv: Deno.Kv): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of kv.list({ prefix: [] })) found.push(key.join("/"));
  return found;
}

Deno.test("an isolate alone delivers at once and writes nothing but its lease", async () => {
  await withKv(async (kv) => {
    const mesh = await openMesh({ kv, isolateId: "a" });
    const got: MeshPayload[] = [];
    const payload = { n: 1 };
    const subscription = mesh.subscribe("session:s", (value) => got.push(value));
    await subscription.ready;
    mesh.publish("session:s", payload);
    mesh.publish("session:other", payload);
    assert.equal(got[0], payload);
    assert.equal(got.length, 1);
    mesh.serve("echo", (value) => Promise.resolve(value));
    assert.equal(await mesh.call("a", "echo", "hello"), "hello");
    assert.deepEqual(await keysOf(kv), ["isolate/a"]);
    subscription[Symbol.dispose]();
    mesh.publish("session:s", payload);
    assert.equal(got.length, 1);
    await mesh[Symbol.asyncDispose]();
    assert.deepEqual(await keysOf(kv), []);
  });
});

Deno.test("publishes cross isolates in order, interleaved with calls, whatever their size", async () => {
  await withKv(async (kv) => {
    const a = await openMesh({ kv, isolateId: "a" });
    const b = await openMesh({ kv, isolateId: "b" });
    const got = new Events<MeshPayload>();
    b.serve("mark", (value) => {
      got.push(value);
      return Promise.resolve(null);
    });
    await b.subscribe("user:u", (payload) => got.push(payload)).ready;
    const big = "ü".repeat(700_000);
    for (let n = 0; n < 500; n++) a.publish("user:u", n === 250 ? big : n);
    const called = a.call("b", "mark", "mark");
    a.publish("user:u", "after");
    await called;
    await got.until((all) => all.at(-1) === "after");
    assert.deepEqual(got.all, [
      ...Array.from({ length: 500 }, (_, n) => n === 250 ? big : n),
      "mark",
      "after",
    ]);
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
    assert.deepEqual(await keysOf(kv), []);
  });
});

Deno.test("an isolate that starts later knows of interest that exists, and one that unsubscribes gets nothing more", async () => {
  await withKv(async (kv) => {
    const a = await openMesh({ kv, isolateId: "a" });
    const got = new Events<MeshPayload>();
    const subscription = a.subscribe("session:s", (payload) => got.push(payload));
    const b = await openMesh({ kv, isolateId: "b" });
    b.publish("session:s", 1);
    await got.until((all) => all.length === 1);
    subscription[Symbol.dispose]();
    await a.subscribe("session:t", (payload) => got.push(payload)).ready;
    b.publish("session:s", 2);
    b.publish("session:t", 3);
    await got.until((all) => all.length === 2);
    assert.deepEqual(got.all, [1, 3]);
    assert.deepEqual(a.liveIsolates().sort(), ["a", "b"]);
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  });
});

Deno.test("calls say why they failed", async () => {
  await withKv(async (kv) => {
    const a = await openMesh({ kv, isolateId: "a" });
    const b = await openMesh({ kv, isolateId: "b" });
    b.serve("fail", () => Promise.reject(new Error("no such folder")));
    b.serve("never", () => new Promise(() => {}));
    const codeOf = (call: Promise<MeshPayload>) =>
      call.then(() => "none", (error) => error instanceof MeshError ? `${error.code}: ${error.message}` : "other");
    assert.equal(await codeOf(a.call("b", "fail", null)), "failed: no such folder");
    assert.match(await codeOf(a.call("b", "nothing", null)), /^failed: .*"nothing"/);
    assert.match(await codeOf(a.call("z", "fail", null)), /^gone/);
    assert.match(await codeOf(a.call("b", "never", null, { timeoutMs: 10 })), /^timeout/);
    const pending = codeOf(a.call("b", "never", null));
    const gone = new Events<MeshPayload>();
    a.subscribe("hub", (payload) => gone.push(payload));
    await b[Symbol.asyncDispose]();
    assert.match(await pending, /^gone/);
    await gone.until((all) => all.length === 1);
    assert.deepEqual(gone.all, [{ type: "mesh_isolate_gone", isolateId: "b" }]);
    assert.equal(a.isLive("b"), false);
    await a[Symbol.asyncDispose]();
  });
});

Deno.test("a restarted process buries its former self at once", async () => {
  await withKv(async (kv) => {
    await kv.set(["isolate", "old"], { isolateId: "old", slot: "hub", boot: "1", expiresAt: Date.now() + 1e9 });
    await kv.set(["mailbox", "old", "in", "x/1", 0], new Uint8Array(1));
    const mesh = await openMesh({ kv, isolateId: "new", slot: { name: "hub", boot: "2" } });
    assert.deepEqual(mesh.liveIsolates(), ["new"]);
    assert.deepEqual(await keysOf(kv), ["isolate/new"]);
    await mesh[Symbol.asyncDispose]();
  });
});

Deno.test("an isolate that was taken for dead joins again and tells its subscribers", async () => {
  await withKv(async (kv) => {
    const a = await openMesh({ kv, isolateId: "a", renewMs: 20 });
    const b = await openMesh({ kv, isolateId: "b" });
    const got = new Events<MeshPayload>();
    await a.subscribe("session:s", (payload) => got.push(payload)).ready;
    await kv.delete(["isolate", "a"]);
    await got.until((all) => all.some(isMeshGap));
    b.publish("session:s", "back");
    await got.until((all) => all.at(-1) === "back");
    const fromA = new Events<MeshPayload>();
    await b.subscribe("session:s", (payload) => fromA.push(payload)).ready;
    a.publish("session:s", "again");
    await fromA.until((all) => all.includes("again"));
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  });
});

Deno.test("a dead peer whose lease is not over holds up neither who joins nor who subscribes", async () => {
  await withKv(async (kv) => {
    await kv.set(["isolate", "dead"], { isolateId: "dead", slot: "x", boot: "x", expiresAt: Date.now() + 1e9 });
    const mesh = await openMesh({ kv, isolateId: "a", leaseMs: 600_000, answerMs: 20 });
    await mesh.subscribe("session:s", () => {}).ready;
    assert.deepEqual(mesh.liveIsolates().sort(), ["a", "dead"], "its lease is not over");
    await mesh[Symbol.asyncDispose]();
  });
});

Deno.test("a peer that answers late is told that it may have missed something, and so are subscribers here", async () => {
  await withKv(async (kv) => {
    const a = await openMesh({ kv, isolateId: "a", answerMs: 20 });
    const atA = new Events<MeshPayload>();
    a.subscribe("session:a", (payload) => atA.push(payload));
    const held = heldKv(kv);
    const b = await openMesh({ kv: held.kv, isolateId: "b" });
    held.hold();
    const atOther = new Events<MeshPayload>();
    await a.subscribe("session:b", (payload) => atOther.push(payload)).ready;
    b.publish("session:b", "nobody knows of the interest yet");
    held.release();
    await atOther.until((all) => all.some(isMeshGap));
    held.hold();
    const c = await openMesh({ kv, isolateId: "c", answerMs: 20 });
    const atB = new Events<MeshPayload>();
    b.subscribe("session:c", (payload) => atB.push(payload));
    c.publish("session:c", "sent before b has said what it wants");
    held.release();
    await atB.until((all) => all.some(isMeshGap));
    for (const mesh of [a, b, c]) await mesh[Symbol.asyncDispose]();
  });
});

Deno.test("clocks that jump by an hour, either way, part nobody", async () => {
  await withKv(async (kv) => {
    const jumps = { a: 0, b: 0 };
    const nowOf = (isolateId: "a" | "b") => () => Date.now() + jumps[isolateId];
    const options = { kv, leaseMs: 400, renewMs: 20 };
    const a = await openMesh({ ...options, isolateId: "a", now: nowOf("a") });
    const b = await openMesh({ ...options, isolateId: "b", now: nowOf("b") });
    const got = new Events<MeshPayload>();
    const gone = new Events<MeshPayload>();
    for (const mesh of [a, b]) mesh.subscribe("hub", (payload) => gone.push(payload));
    await b.subscribe("session:s", (payload) => got.push(payload)).ready;
    let sent = 0;
    for (const jumpMs of [3_600_000, -3_600_000]) {
      for (const isolateId of ["a", "b"] as const) {
        jumps[isolateId] = jumpMs;
        // Long enough for several looks at the leases.
        const rows = new Set<string>();
        while (rows.size < 4) {
          const { versionstamp } = await kv.get(["isolate", isolateId]);
          rows.add(versionstamp!);
          a.publish("session:s", sent++);
          await got.until((all) => all.length === sent);
        }
      }
    }
    assert.deepEqual(gone.all, []);
    assert.deepEqual(got.all, Array.from({ length: sent }, (_, n) => n));
    for (const mesh of [a, b]) await mesh[Symbol.asyncDispose]();
  });
});

Deno.test("a peer that does not read is cut off at the bound and told what it missed", async () => {
  await withKv(async (kv) => {
    const overflows: string[] = [];
    const options = { kv, maxOutboxBytes: 64 * 1024 };
    const a = await openMesh({ ...options, isolateId: "a", onOverflow: (isolateId) => overflows.push(isolateId) });
    const b = await openMesh({ ...options, isolateId: "b" });
    const got = new Events<MeshPayload>();
    await b.subscribe("session:s", (payload) => got.push(payload)).ready;
    // All in one tick: nothing can be read meanwhile.
    for (let n = 0; n < 200; n++) a.publish("session:s", `${n} ${"x".repeat(1_000)}`);
    await got.until((all) => all.some(isMeshGap));
    assert.deepEqual(overflows, ["b"]);
    const numbers = got.all.slice(0, -1).map((payload) => Number(String(payload).split(" ")[0]));
    assert.ok(numbers.length > 50 && numbers.length < 70, `${numbers.length} arrived`);
    assert.deepEqual(numbers, numbers.map((_, n) => n));
    a.publish("session:s", "after");
    await got.until((all) => all.at(-1) === "after");
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  });
});

Deno.test("posts that fail, or seem to, are made again: everything arrives once and in order", async () => {
  await withKv(async (kv) => {
    let errors = 0;
    const options = { isolateId: "a", onError: () => errors++ };
    const a = await openMesh({ kv: faultyKv(kv, seededFaults(7, 0.3)), ...options });
    const b = await openMesh({ kv, isolateId: "b" });
    const got = new Events<MeshPayload>();
    await b.subscribe("session:s", (payload) => got.push(payload)).ready;
    for (let n = 0; n < 40; n++) {
      a.publish("session:s", n);
      await got.until((all) => all.length > n);
    }
    assert.deepEqual(got.all, Array.from({ length: 40 }, (_, n) => n));
    assert.ok(errors > 0);
    await b[Symbol.asyncDispose]();
    await a[Symbol.asyncDispose]();
  });
});

Deno.test("worker isolates on one database: publish, subscribe and call both ways, then one is terminated", async () => {
  await withKv(async (kv, path) => {
    const worker = new Worker(new URL("./mesh_worker.ts", import.meta.url), { type: "module" });
    const events = new Events<{ type: string; payload?: unknown; result?: unknown }>();
    worker.onmessage = ({ data }) => events.push(data);
    const order = async (data: WorkerOrder) => {
      const before = events.all.filter(({ type }) => type === "done").length;
      worker.postMessage(data);
      await events.until((all) => all.filter(({ type }) => type === "done").length > before);
    };
    const mesh = await openMesh({ kv, isolateId: "main", leaseMs: 600, renewMs: 100 });
    mesh.serve("triple", (value) => Promise.resolve(Number(value) * 3));
    await order({ type: "open", path, isolateId: "worker", leaseMs: 600, renewMs: 100 });
    await order({ type: "subscribe", topic: "session:w" });
    for (let n = 0; n < 300; n++) mesh.publish("session:w", n);
    await events.until((all) => all.filter(({ type }) => type === "delivered").length === 300);
    assert.deepEqual(
      events.all.filter(({ type }) => type === "delivered").map(({ payload }) => payload),
      Array.from({ length: 300 }, (_, n) => n),
    );
    assert.equal(await mesh.call("worker", "double", 21), 42);

    const got = new Events<MeshPayload>();
    await mesh.subscribe("session:m", (payload) => got.push(payload)).ready;
    await order({ type: "publish", topic: "session:m", from: 0, to: 300 });
    await got.until((all) => all.length === 300);
    assert.deepEqual(got.all, Array.from({ length: 300 }, (_, n) => n));
    worker.postMessage({ type: "call", isolateId: "main", method: "triple", params: 5 } satisfies WorkerOrder);
    await events.until((all) => all.some(({ result }) => result === 15));

    const gone = new Events<MeshPayload>();
    mesh.subscribe("hub", (payload) => gone.push(payload));
    const pending = mesh.call("worker", "never", null, { timeoutMs: 60_000 });
    pending.catch(() => {});
    worker.terminate();
    await gone.until((all) => all.length === 1);
    await assert.rejects(pending, (error) => error instanceof MeshError && error.code === "gone");
    assert.equal(mesh.isLive("worker"), false);
    await mesh.subscribe("session:x", () => {}).ready;
    assert.deepEqual(await keysOf(kv).then((all) => all.filter((key) => key.includes("worker"))), []);
    await mesh[Symbol.asyncDispose]();
  });
});
