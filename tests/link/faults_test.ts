/** The data link when things break: at any byte, with the hub killed, with a reader that stands still. */
import assert from "node:assert/strict";
import { randomOf } from "../faults/steps.ts";
import { type Direction, FaultProxy } from "../support/fault_proxy.ts";
import { eventually, within } from "../support/patience.ts";
import { LinkHub, startEchoRunner } from "./processes.ts";

const MB = 1_000_000;

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 7919) >> 3);
}

/** What comes back through an echo; null when the stream broke. What comes whole must be right. */
async function echo(hub: LinkHub, runnerId: string, sent: Uint8Array<ArrayBuffer>, isolate = 0): Promise<true | null> {
  let got: Uint8Array;
  try {
    const response = await hub.stream(runnerId, "/echo", sent, { isolate });
    got = await within(response.bytes(), "the end of an echo");
    if (!response.ok) return null;
  } catch (error) {
    if (error instanceof Error && /did not happen/.test(error.message)) throw error;
    return null;
  }
  assert.equal(got.length, sent.length);
  assert.ok(got.every((byte, i) => byte === sent[i]), "the bytes that came back are those that were sent");
  return true;
}

/** Where the link breaks: in the upgrade, in the registration, in the head of a frame, in its bytes. */
const KNOWN_OFFSETS = [
  1,
  100,
  300,
  500,
  520,
  600,
  640,
  700,
  720,
  760,
  800,
  1_000,
  5_000,
  66_000,
  131_500,
  300_000,
  409_000,
];
/** … and at so many more places, in one direction's bytes or the other's, which follow from a seed. */
const RANDOM_OFFSETS = 16;

Deno.test("a link that breaks at any byte ends its streams, comes back, and never delivers wrong bytes", async () => {
  const given = Deno.env.get("PERCH_FAULT_SEED");
  const seed = given === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given);
  const random = randomOf(seed);
  console.log(`  seed ${seed}`);
  await using hub = await LinkHub.start();
  await using proxy = new FaultProxy(() => hub.port);
  await using _runner = await startEchoRunner(proxy.url, "runner-1");
  await hub.linked("runner-1");
  const sent = pattern(200_000);
  const breaks: { offset: number; direction: Direction | null }[] = [
    ...KNOWN_OFFSETS.map((offset) => ({ offset, direction: null })),
    ...Array.from({ length: RANDOM_OFFSETS }, (_, i) => ({
      // More of them near the beginning, where the frames are small.
      offset: Math.floor(random() ** 4 * 200_000),
      direction: i % 2 === 0 ? "up" as const : "down" as const,
    })),
  ];
  for (const { offset, direction } of breaks) {
    proxy.breakAt(() => offset, direction);
    const before = proxy.connections;
    proxy.breakAll();
    await eventually(() => proxy.connections >= before + 2, "the runner's next attempts");
    for (let i = 0; i < 3; i++) await echo(hub, "runner-1", sent);
    proxy.breakAt(null);
    proxy.breakAll();
    // A connection that was being made in that moment may still break where it was told to.
    await eventually(
      () => echo(hub, "runner-1", sent),
      `a whole echo after a break at ${direction ?? "any"} byte ${offset}`,
    );
  }
});

Deno.test("a link whose bytes come one by one, late, or after a standstill carries what it carried before", async () => {
  await using hub = await LinkHub.start();
  await using proxy = new FaultProxy(() => hub.port);
  proxy.split(5_000, "up", "down");
  await using _runner = await startEchoRunner(proxy.url, "runner-1");
  await hub.linked("runner-1");
  for (const length of [1, 3_000, 100_000]) assert.equal(await echo(hub, "runner-1", pattern(length)), true);
  proxy.release();
  proxy.delay(20, "up", "down");
  const many = Array.from({ length: 20 }, (_, i) => echo(hub, "runner-1", pattern(1 + i * 5_000)));
  assert.ok((await Promise.all(many)).every((isOk) => isOk));
  proxy.release();
  proxy.hold("down");
  const waiting = echo(hub, "runner-1", pattern(MB));
  const aside = proxy.connections;
  const second = echo(hub, "runner-1", pattern(1_000));
  await hub.memoryBytes();
  proxy.release();
  assert.deepEqual(await Promise.all([waiting, second]), [true, true]);
  assert.equal(proxy.connections, aside, "it was the same link");
});

Deno.test("after a kill of the hub the runner's link comes back by itself, also to other isolates", async () => {
  await using hub = await LinkHub.start(2);
  await using _runner = await startEchoRunner(hub.urls[1]!, "runner-1");
  await hub.linked("runner-1");
  for (let round = 0; round < 2; round++) {
    const open = Promise.allSettled([0, 1].map((isolate) => hub.stream("runner-1", "/silent", "x", { isolate })));
    await hub.kill9();
    await open;
    await hub.restart();
    await hub.linked("runner-1");
    assert.equal(await echo(hub, "runner-1", pattern(100_000)), true);
  }
});

for (const way of [undefined, "--direct", "--unreachable"] as const) {
  Deno.test(`streams cross isolates in both directions, and end with their link (${way ?? "mailboxes"})`, () =>
    cross(way));
}

async function cross(way?: "--direct" | "--unreachable"): Promise<void> {
  await using hub = await LinkHub.start(2, way);
  await using runner = await startEchoRunner(hub.url, "runner-1");
  await hub.linked("runner-1");
  assert.equal(await (await fetch(new URL("/peers", hub.url))).json(), way === "--direct" ? 1 : 0);
  const uninvited = await fetch(new URL("/ws/peer", hub.url), { headers: { "x-perch-peer": "a.b.1.c" } });
  assert.equal(uninvited.status, 401);
  await uninvited.body?.cancel();
  assert.equal(await echo(hub, "runner-1", pattern(3 * MB), 1), true);
  const many = Array.from({ length: 30 }, (_, i) => echo(hub, "runner-1", pattern(1 + i * 1_000), i % 2));
  assert.ok((await Promise.all(many)).every((isOk) => isOk));
  const refused = await hub.stream("runner-1", "/nothing", null, { isolate: 1 });
  assert.equal(refused.headers.get("x-reset"), "refused");
  await refused.body?.cancel();
  const open = hub.stream("runner-1", "/silent", null, { isolate: 1 });
  await hub.linked("runner-1");
  await runner.kill9();
  const lost = await within(open, "the end of the stream");
  assert.equal(lost.headers.get("x-reset"), "link_lost");
  await lost.body?.cancel();
}

Deno.test("a reader that stands still costs the hub a window of memory, and the others nothing", async () => {
  await using hub = await LinkHub.start(2);
  await using _runner = await startEchoRunner(hub.url, "runner-1");
  await hub.linked("runner-1");
  const exercise = async () => {
    assert.equal(await echo(hub, "runner-1", pattern(20 * MB)), true);
    assert.equal(await echo(hub, "runner-1", pattern(MB), 1), true);
  };
  // The same work before and while the readers stand still: what it leaves for the garbage collector is no difference.
  for (let i = 0; i < 3; i++) await exercise();
  const before = await hub.memoryBytes();
  const stalled = await Promise.all(
    [0, 0, 1, 1].map((isolate) => hub.stream("runner-1", `/source?bytes=${500 * MB}`, null, { isolate })),
  );
  await exercise();
  const grown = await hub.memoryBytes() - before;
  assert.ok(grown < 64 * MB, `${Math.round(grown / MB)} MB more`);
  await Promise.all(stalled.map((response) => response.body?.cancel()));
  await hub.linked("runner-1");
});

Deno.test("a runner that does not read stops its sender", async () => {
  await using hub = await LinkHub.start();
  await using _runner = await startEchoRunner(hub.url, "runner-1");
  await hub.linked("runner-1");
  const block = new Uint8Array(100_000);
  let pulled = 0;
  const body = new ReadableStream({
    pull(controller) {
      pulled += block.length;
      controller.enqueue(block);
    },
  });
  const cancelled = new AbortController();
  const response = hub.stream("runner-1", "/silent", body, { signal: cancelled.signal });
  response.catch(() => {});
  // As long as the rest of the link is busy, the stalled stream has every chance to go on.
  for (let i = 0; i < 5; i++) assert.equal(await echo(hub, "runner-1", pattern(10 * MB)), true);
  assert.ok(pulled < 32 * MB, `${pulled} bytes were taken from a sender that nobody reads`);
  cancelled.abort();
  await assert.rejects(response);
});
