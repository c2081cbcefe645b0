/**
 * Hubs and denokv are killed, the network between hubs and denokv and between hosts and hubs misbehaves: in the end every viewer
 * shows what the hosts wrote, and every command was applied exactly once or reported as not applied.
 *
 * PERCH_FAULT_SEED repeats a run (its seed is printed); PERCH_FAULT_RUNS says how many there are (default 2).
 */
import assert from "node:assert/strict";
import { randomOf } from "../faults/steps.ts";
import { Balancer } from "../support/balancer.ts";
import { type Direction, FaultProxy } from "../support/fault_proxy.ts";
import type { HubAddress } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { ScriptedViewer } from "../support/viewer.ts";
import { Cluster, clusterTest } from "./cluster.ts";

const SESSIONS = 3;
const FAULTS = 6;
/** Records that each host writes between two faults. */
const RECORDS = 40;
const SETTLE_MS = 60_000;

/** What can happen, each with what ends it. */
const faults = {
  "a hub is killed and starts again": async ({ cluster, random }: Scene) => {
    const hub = cluster.hubs[Math.floor(random() * cluster.hubs.length)]!;
    await hub.kill9();
    await hub.restart();
  },
  "denokv is killed and starts again": async ({ cluster, pause }: Scene) => {
    await cluster.denokv.kill9();
    await pause(500);
    await cluster.denokv.start();
  },
  "the network to denokv stands still": async ({ cluster, pause, random }: Scene) => {
    cluster.kvProxy.hold("up", "down");
    await pause(500 + random() * 1_500);
    cluster.kvProxy.release();
  },
  "the network to denokv is slow": async ({ cluster, pause }: Scene) => {
    cluster.kvProxy.delay(30, "down");
    await pause(1_000);
    cluster.kvProxy.release();
  },
  "connections to denokv break": ({ cluster }: Scene) => cluster.kvProxy.breakAll(),
  "connections to denokv break in the middle of what they carry": async ({ cluster, pause, random }: Scene) => {
    cluster.kvProxy.breakAt(() => 2_000 + Math.floor(random() * 20_000));
    cluster.kvProxy.breakAll();
    await pause(1_500);
    cluster.kvProxy.release();
  },
  "hosts lose their sockets, and the hubs learn of it later": async ({ hostProxy, pause }: Scene) => {
    hostProxy.lingerServerSide(1_000);
    hostProxy.breakClients();
    await pause(300);
    hostProxy.lingerServerSide(0);
  },
  "sockets of hosts break in the middle of a frame": async ({ hostProxy, pause, random }: Scene) => {
    hostProxy.breakAt(() => 500 + Math.floor(random() * 8_000));
    hostProxy.breakAll();
    await pause(1_000);
    hostProxy.release();
  },
  "viewers lose their sockets": ({ viewers }: Scene) => viewers.forEach((viewer) => viewer.dropConnection()),
} satisfies Faults;

/** What can happen between hubs that talk over sockets. */
const peerFaults = {
  "connections between hubs break": ({ cluster }: Scene) => {
    for (const proxy of cluster.peerProxies) proxy.breakAll();
  },
  "connections between hubs break in the middle of what they carry": async ({ cluster, pause, random }: Scene) => {
    const from = 50 + Math.floor(random() * 500);
    for (const proxy of cluster.peerProxies) {
      proxy.breakAt(() => from + Math.floor(random() * 20_000));
      proxy.breakAll();
    }
    // Long enough for them to find each other again, and to break again.
    await pause(6_000);
    for (const proxy of cluster.peerProxies) proxy.release();
  },
  "what hubs say to each other goes nowhere, and their sockets stay": async ({ cluster, pause, random }: Scene) => {
    const proxy = cluster.peerProxies[Math.floor(random() * cluster.peerProxies.length)]!;
    const both: Direction[] = ["up", "down"];
    proxy.swallow(...random() < 0.5 ? both : [both[Math.floor(random() * 2)]!]);
    await pause(5_000);
    proxy.breakAll();
    proxy.release();
  },
  "the network between hubs stands still": async ({ cluster, pause, random }: Scene) => {
    for (const proxy of cluster.peerProxies) proxy.hold("up", "down");
    await pause(1_000 + random() * 4_000);
    for (const proxy of cluster.peerProxies) proxy.release();
  },
} satisfies Faults;

type Faults = Record<string, (scene: Scene) => Promise<void> | void>;

interface Scene {
  cluster: Cluster;
  hostProxy: FaultProxy;
  viewers: ScriptedViewer[];
  random: () => number;
  pause(ms: number): Promise<void>;
}

/** What commands did to one host, which remembers their ops as a journal does: delivery may repeat, effect may not. */
class Effects {
  readonly #ops = new Set<string>();
  /** Titles as they were set, one for each effect. */
  readonly titles: string[] = [];

  apply(op: string, title: string): { status: "applied" } {
    if (!this.#ops.has(op)) this.titles.push(title);
    this.#ops.add(op);
    return { status: "applied" };
  }
}

async function run(cluster: Cluster, seed: number, faults: Faults): Promise<string> {
  const random = randomOf(seed);
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const names = Object.keys(faults);
  const plan = Array.from({ length: FAULTS }, (_, i) => names[i === 0 ? seed % names.length : pick(random, names)]!);
  await using toHubs = new Balancer(() => cluster.hubs.map(({ port }) => port));
  await using hostProxy = new FaultProxy(() => Number(new URL(toHubs.url).port));
  const hostSide: HubAddress = { host: hostProxy.host, url: hostProxy.url, person: cluster.front.person };
  await using things = new AsyncDisposableStack();
  const hosts: { host: ScriptedProducer; effects: Effects }[] = [];
  const viewers: ScriptedViewer[] = [];
  for (let i = 0; i < SESSIONS; i++) {
    const effects = new Effects();
    const host = things.use(
      new ScriptedProducer(hostSide, { onCommand: ({ op, command }) => effects.apply(op, command.title) }),
    );
    hosts.push({ host, effects });
    await host.registered();
    for (let v = 0; v < 2; v++) {
      const viewer = things.use(new ScriptedViewer(cluster.front, host.sessionId));
      await viewer.loadAll();
      viewers.push(viewer);
    }
  }
  const receipts: { effects: Effects; title: string; status: Promise<string> }[] = [];
  for (const fault of plan) {
    const happening = Promise.resolve(faults[fault]!({ cluster, hostProxy, viewers, random, pause }));
    for (let i = 0; i < RECORDS; i++) {
      for (const { host } of hosts) writeSomething(host, random);
      await pause(5);
    }
    for (const [i, { host, effects }] of hosts.entries()) {
      const title = `title ${receipts.length} of session ${i}`;
      receipts.push({ effects, title, status: ask(cluster, host.sessionId, title) });
    }
    await happening;
  }
  for (const { host } of hosts) {
    await host.until(() => host.ackedSeq === host.lastSeq, "the ack of the last record", SETTLE_MS);
    // What is acknowledged is what was written: a late viewer, who knows nothing but the database, shows all of it.
    viewers.push(things.use(new ScriptedViewer(cluster.front, host.sessionId)));
  }
  for (const viewer of viewers) {
    const { host } = hosts.find(({ host }) => host.sessionId === viewer.sessionId)!;
    await viewer.loadAll();
    await viewer.until(() => viewer.timeline.cursor?.seq === host.lastSeq, `seq ${host.lastSeq}`, SETTLE_MS);
    assert.deepEqual(viewer.shown().map(({ id, seq, text }) => ({ id, seq, text })), writtenBy(host));
    assert.equal(viewer.counts.unreadable, 0);
  }
  for (const { effects, title, status } of receipts) {
    const outcome = await status;
    const times = effects.titles.filter((set) => set === title).length;
    assert.equal(
      `${outcome} ${times}`,
      "applied 1",
      "hosts are there and take everything, so everything is applied once",
    );
  }
  return `${plan.join("; ")}: ${hosts.reduce((sum, { host }) => sum + host.lastSeq, 0)} records`;
}

function pick(random: () => number, names: readonly unknown[]): number {
  return Math.floor(random() * names.length);
}

/** A new entry, or a new version of an older one. */
function writeSomething(host: ScriptedProducer, random: () => number): void {
  const last = host.records.findLast((record) => "entry" in record);
  if (last === undefined || !("entry" in last) || random() < 0.8) {
    host.say(`${host.lastSeq} ${"é".repeat(Math.floor(random() * 200))}`);
    return;
  }
  const text = `changed ${host.lastSeq}`;
  host.write({ ...last.entry, head: { ...last.entry.head, textLength: text.length }, body: { text } });
}

/** The timeline that a host's records add up to. */
function writtenBy(host: ScriptedProducer): { id: string; seq: number; text: string }[] {
  const entries = new Map<string, { id: string; seq: number; text: string }>();
  for (const [at, record] of host.records.entries()) {
    if (!("entry" in record)) continue;
    const { id, body } = record.entry;
    entries.set(id, { id, seq: at + 1, text: (body as { text: string }).text });
  }
  return [...entries.values()];
}

/** Asks until the hub has accepted the command, as a browser does, then until it says what became of it. */
async function ask(cluster: Cluster, sessionId: string, title: string): Promise<string> {
  const op = crypto.randomUUID();
  const deadline = performance.now() + SETTLE_MS;
  let status = "unknown";
  while (performance.now() < deadline) {
    try {
      const answer = status === "unknown"
        ? await cluster.front.api("POST", `/api/sessions/${sessionId}/commands`, {
          op,
          command: { kind: "rename", title },
        })
        : await cluster.front.api("GET", `/api/sessions/${sessionId}/commands/${op}`);
      status = answer.status;
      if (status !== "accepted") return status;
    } catch {
      // The hub that was asked is gone, or cannot reach its database now.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return status;
}

for (const peers of ["mailboxes", "faulty"] as const) {
  const way = peers === "faulty" ? "sockets and mailboxes" : "mailboxes alone";
  clusterTest(`hubs, denokv and networks fail: nothing is lost, doubled or reordered (${way})`, async (program, t) => {
    const given = Deno.env.get("PERCH_FAULT_SEED");
    const runs = given === undefined ? Number(Deno.env.get("PERCH_FAULT_RUNS") ?? 2) : 1;
    const first = given === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given);
    // Between hubs that have sockets most of it is about those.
    const possible: Faults = peers === "mailboxes" ? faults : {
      ...peerFaults,
      "a hub is killed and starts again": faults["a hub is killed and starts again"],
      "denokv is killed and starts again": faults["denokv is killed and starts again"],
      "hosts lose their sockets, and the hubs learn of it later":
        faults["hosts lose their sockets, and the hubs learn of it later"],
    };
    await using cluster = await Cluster.start(program, { isKvFaulty: true, peers });
    for (let i = 0; i < runs; i++) {
      const seed = first + i;
      await t.step(`seed ${seed}`, async () => console.log(`  ${await run(cluster, seed, possible)}`));
    }
    if (peers === "mailboxes") return;
    const direct = () => cluster.front.metric("perch_mesh_peers_direct");
    // One that could not be reached is tried again after half a minute.
    await eventually(async () => await direct() === 6, "sockets between all hubs again", SETTLE_MS);
  });
}
