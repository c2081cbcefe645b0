/**
 * A day in a minute, run by soak_test.ts in a process of its own (it needs `gc`): sessions come and go, viewers look in, commands
 * are answered or expire, isolates are closed or die and are replaced, retention trims and forgets. In the end nothing may be left.
 */
import assert from "node:assert/strict";
import { Peer, register, textEvent } from "@/lib/gateway/testing.ts";
import { deleteSession } from "@/lib/hub_sessions.ts";
import { openKv } from "@/lib/kv/open.ts";
import type { Principal } from "@/lib/principal.ts";
import type { RetentionLimits } from "@/lib/retention_policy.ts";
import { eventually } from "../support/patience.ts";
import { SoakIsolate } from "./isolate.ts";

const HOUR = 3_600_000;
/** The fast clock runs so many times faster. */
const SPEED = 1_440;
const DAY = 24 * HOUR;
const ISOLATES = 3;
const user: Principal = { userId: "ann", userName: "ANN", credential: { kind: "key", id: "k" } };
const bounds: RetentionLimits = { sessionBytes: 150_000, userBytes: 3_000_000, idleMs: 2 * HOUR, forgetMs: 6 * HOUR };
const gc = (globalThis as unknown as { gc?: () => void }).gc;

/** A host that stays connected over the hours and comes back when its isolate goes. */
class StayingHost {
  #peer: Peer | null = null;
  #seq = 0;

  constructor(readonly sessionId: string) {}

  /** Connects if it must, and writes some more. */
  async work(isolate: SoakIsolate, records: number): Promise<void> {
    if (this.#peer?.socket.readyState !== WebSocket.OPEN) {
      await this.#peer?.[Symbol.asyncDispose]();
      this.#peer = await Peer.open(isolate, "relay", "ann");
    }
    // Registering again is what a host does after any break; here it also tells the epoch.
    this.#peer.send(register(this.sessionId, { lastSeq: this.#seq, startedAt: 1 }));
    const { epoch, ackedSeq } = await this.#peer.next("registered");
    assert.equal(ackedSeq, this.#seq, "what was acknowledged is there");
    const events = Array.from(
      { length: records },
      () => textEvent(this.sessionId, epoch, ++this.#seq, "y".repeat(2_000)),
    );
    this.#peer.send(...events);
    await this.#peer.next("event_ack", ({ seq }) => seq === this.#seq);
  }

  async close(): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
  }
}

Deno.test({
  name: "a day of sessions, viewers, commands and dying isolates leaves flat memory and no keys",
  sanitizeOps: true,
  sanitizeResources: true,
  fn: async () => {
    assert.ok(gc, "run with --v8-flags=--expose-gc");
    const dir = await Deno.makeTempDir();
    const kv = await openKv(`${dir}/hub.db`);
    const startedMs = performance.now();
    // Gateways stamp commands by the real clock, for 24 h from now: the fast one must not overtake that within the day.
    const epochMs = Date.now() - 12 * HOUR;
    let jumpedMs = 0;
    const elapsed = () => (performance.now() - startedMs) * SPEED;
    const now = () => Math.floor(epochMs + elapsed() + jumpedMs);
    let seed = Number(Deno.env.get("SOAK_SEED") ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`SOAK_SEED=${seed}`);
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor(seed / 2 ** 31 * below);
    };
    const isolates: SoakIsolate[] = [];
    const pick = () => isolates[random(isolates.length)]!;
    for (let n = 0; n < ISOLATES; n++) isolates.push(await SoakIsolate.start(kv, now, elapsed, bounds));
    const staying = new StayingHost("staying");
    const heap: number[] = [];
    const counts = { sessions: 0, deleted: 0, died: 0, closed: 0, expired: 0 };

    const oneSession = async (n: number) => {
      const sessionId = `s${n}`;
      counts.sessions++;
      await using host = await Peer.open(pick(), "relay", "ann");
      host.send(register(sessionId, { startedAt: now() }));
      const { epoch } = await host.next("registered");
      const records = 20 + random(200);
      host.send(
        ...Array.from(
          { length: records },
          (_, at) => textEvent(sessionId, epoch, at + 1, "x".repeat(at % 50 === 49 ? 90_000 : 400)),
        ),
      );
      await host.next("event_ack", ({ seq }) => seq === records);
      await using viewer = await Peer.open(pick(), "viewer", "ann");
      viewer.send({ type: "switch_session", sessionId, generation: 1 });
      await viewer.next("snapshot");
      viewer.send({ type: "viewer_visibility", visible: true, seenSeq: records });
      const op = `op-${n}`;
      viewer.send({ type: "command", op, sessionId, command: { kind: "prompt", text: "go", delivery: "prompt" } });
      await host.next("command", (message) => message.op === op);
      host.send({ type: "command_result", op, status: "applied" });
      await viewer.next("command_status", ({ status }) => status === "applied");
      // Nobody will ever answer this one.
      await pick().store.inbox.put(`session:${sessionId}`, "ann", {
        type: "command",
        op: `late-${n}`,
        sessionId,
        command: { kind: "prompt", text: "z".repeat(n % 3 === 0 ? 100_000 : 10), delivery: "prompt" },
        from: "ANN",
        at: now(),
        expiresAt: now() + HOUR,
      });
      counts.expired++;
      if (n % 3 === 0) {
        await deleteSession(pick().hub.gateways.context, user, sessionId);
        counts.deleted++;
        await host.next("session_expired");
      } else if (n % 3 === 1) {
        host.send({ type: "session_end", sessionId, end: { reason: "closed", at: now() } });
      }
    };

    try {
      for (let cycle = 0; elapsed() < DAY; cycle++) {
        await Promise.all([0, 1, 2].map((offset) => oneSession(cycle * 3 + offset)));
        await staying.work(pick(), 10);
        if (cycle % 4 === 3) {
          const [gone] = isolates.splice(random(isolates.length), 1);
          if (random(2) === 0) {
            await gone!.die();
            counts.died++;
          } else {
            await gone!.close();
            counts.closed++;
          }
          isolates.push(await SoakIsolate.start(kv, now, elapsed, bounds));
        }
        gc();
        heap.push(Deno.memoryUsage().heapUsed);
      }
      await staying.close();
      for (const isolate of isolates.splice(1)) await isolate.close();
      // Two quiet days later only hashes of deleted sessions are left.
      const last = isolates[0]!;
      jumpedMs = 2 * DAY;
      const names = async () => {
        const found: string[] = [];
        for await (const { key } of kv.list({ prefix: [] })) found.push(key.slice(0, 2).map(String).join("/"));
        return found;
      };
      const own = new Set([
        `isolate/${last.mesh.isolateId}`,
        `mailbox/${last.mesh.isolateId}`,
        "sweep/progress",
        "sweep/lease",
      ]);
      const strange = async () =>
        (await names()).filter((name) => !own.has(name) && !name.startsWith("deleted_session/"));
      await eventually(async () => (await strange()).length === 0, "only the keys of the isolate that lives").catch(
        async (error) => {
          throw new Error(`${error.message}: ${[...new Set(await strange())].join(", ")}`);
        },
      );
      assert.equal((await names()).filter((name) => name.startsWith("deleted_session/")).length, counts.deleted);
      jumpedMs += 366 * DAY;
      await eventually(async () => (await names()).every((name) => own.has(name)), "tombstones to go after a year");
      await last.close();
      isolates.length = 0;
      assert.deepEqual((await names()).filter((name) => name !== "sweep/progress"), []);
    } finally {
      await staying.close();
      for (const isolate of isolates) await isolate.close();
      kv.close();
      await Deno.remove(dir, { recursive: true });
    }
    const third = Math.floor(heap.length / 3);
    const median = (part: number[]) => part.toSorted((a, b) => a - b)[Math.floor(part.length / 2)]!;
    // The first third after the code has warmed up, against the last.
    const early = median(heap.slice(2, 2 + third));
    const late = median(heap.slice(-third));
    const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    console.log(`${JSON.stringify(counts)}, ${heap.length} samples, heap early ${mib(early)}, late ${mib(late)}`);
    assert.ok(counts.died > 0 && counts.closed > 0 && third >= 3, "the day was long enough to mean something");
    assert.ok(late < early * 1.15 + 2 ** 20, `the heap grew from ${mib(early)} to ${mib(late)}`);
  },
});
