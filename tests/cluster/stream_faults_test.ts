/**
 * Terminals and tunnels while hubs and the runner are killed and the networks between them break at any byte, stand still, are slow
 * or cut everything into single bytes: whoever uses them gets what is right, or is told that it broke. Afterwards all works and
 * nothing is left over.
 *
 * PERCH_FAULT_SEED repeats a run (its seed is printed); PERCH_FAULT_RUNS says how many there are for each way that hubs reach one
 * another (default 1).
 */
import assert from "node:assert/strict";
import { randomOf } from "../faults/steps.ts";
import { LocalApp } from "../link/local_app.ts";
import { Balancer } from "../support/balancer.ts";
import { killPid } from "../support/child.ts";
import { type Direction, FaultProxy } from "../support/fault_proxy.ts";
import { HubClient, type HubProcess } from "../support/hub.ts";
import { eventually } from "../support/patience.ts";
import { type RunnerProcess, startRunner } from "../support/runner.ts";
import { TerminalClient } from "../terminal/terminal_client.ts";
import { rssMb, TunnelClient } from "../tunnel/support.ts";
import { Cluster, clusterTest } from "./cluster.ts";
import { downloads, talks, Typist, uploads, type Work } from "./stream_load.ts";

const FAULTS = 6;
const SETTLE_MS = 60_000;
/** Sockets that may come and go: idle connections that are kept, requests of this test. */
const SPARE_SOCKETS = 12;
/** What the work of a run may leave for the garbage collector. */
const SPARE_MB = 200;

interface Scene {
  cluster: Cluster;
  runner: RunnerProcess;
  /** Between the runner and the hubs, and between those who use terminals and tunnels and the hubs. */
  runnerProxy: FaultProxy;
  clientProxy: FaultProxy;
  random: () => number;
  pause(ms: number): Promise<void>;
}

/** Connections of one kind break after some bytes, in the middle of whatever that is; later ones do not. */
async function breakSome(
  proxy: FaultProxy,
  direction: Direction,
  { random, pause }: Scene,
  most: number,
): Promise<void> {
  proxy.breakAt(() => Math.floor(random() ** 2 * most), direction);
  proxy.breakAll();
  await pause(1_000);
  proxy.breakAt(null);
  proxy.breakAll();
}

/** What can happen, each with what ends it. */
const faults = {
  "the hub with the link is killed": ({ cluster }: Scene) => killHubWith(cluster, "link"),
  "the link breaks on its way to the hub": (scene: Scene) => breakSome(scene.runnerProxy, "up", scene, 200_000),
  "the hub with the viewer is killed": ({ cluster }: Scene) => killHubWith(cluster, "terminal"),
  "the link breaks on its way to the runner": (scene: Scene) => breakSome(scene.runnerProxy, "down", scene, 200_000),
  "the runner is killed": async ({ runner }: Scene) => {
    const pid = await runner.daemonPid();
    killPid(pid);
    await runner.daemonPid(pid);
  },
  "clients' connections break on their way to the hubs": (scene: Scene) =>
    breakSome(scene.clientProxy, "up", scene, 100_000),
  "everything comes in single bytes": async ({ runnerProxy, clientProxy, pause }: Scene) => {
    for (const proxy of [runnerProxy, clientProxy]) proxy.split(3_000, "up", "down");
    await pause(1_500);
    for (const proxy of [runnerProxy, clientProxy]) proxy.release();
  },
  "clients' connections break on their way back": (scene: Scene) =>
    breakSome(scene.clientProxy, "down", scene, 100_000),
  "the hub learns late that the link is gone": async ({ runnerProxy, pause }: Scene) => {
    runnerProxy.lingerServerSide(1_000);
    runnerProxy.breakClients();
    await pause(300);
    runnerProxy.lingerServerSide(0);
  },
  "the runner's network stands still": async ({ runnerProxy, pause, random }: Scene) => {
    runnerProxy.hold("up", "down");
    await pause(300 + random() * 1_500);
    runnerProxy.release();
  },
  "the networks are slow": async ({ runnerProxy, clientProxy, pause }: Scene) => {
    runnerProxy.delay(20, "up", "down");
    clientProxy.delay(10, "down");
    await pause(1_000);
    for (const proxy of [runnerProxy, clientProxy]) proxy.release();
  },
  "what lies between the hubs breaks": async (scene: Scene) => {
    const { cluster, pause, random } = scene;
    for (const proxy of [...cluster.peerProxies, cluster.kvProxy]) {
      proxy.breakAt(() => 1_000 + Math.floor(random() * 100_000));
      proxy.breakAll();
    }
    await pause(1_000);
    for (const proxy of [...cluster.peerProxies, cluster.kvProxy]) proxy.release();
  },
} satisfies Record<string, (scene: Scene) => Promise<void> | void>;
type Fault = keyof typeof faults;

/** `kill -9` for the hub that has a socket of a kind, or for any when none has one now; it starts again. */
async function killHubWith(cluster: Cluster, namespace: string): Promise<void> {
  const { front, hubs } = cluster;
  const metrics = await front.fetch("/metrics", { headers: { authorization: `Bearer ${front.apiKey}` } });
  const counted = new RegExp(`^perch_connections\\{isolate="([^"]+)",namespace="${namespace}"\\} [1-9]`, "m");
  const [, holder] = counted.exec(await metrics.text()) ?? [];
  const isolates = await Promise.all(hubs.map((hub) => hub.health()));
  const hub = hubs[Math.max(0, isolates.findIndex((health) => health?.isolate === holder))]!;
  await hub.kill9();
  await hub.restart();
}

/** Both ends are cut off from one another, and neither is told: they must find out by themselves. */
async function goHalfOpen({ cluster, runnerProxy }: Scene): Promise<void> {
  const silent = () => cluster.front.metric("perch_sockets_silent_total", "link");
  const before = await silent();
  const connections = runnerProxy.connections;
  runnerProxy.swallow("up", "down");
  await eventually(async () => await silent() > before, "the hub's notice of the silence", SETTLE_MS);
  await eventually(() => runnerProxy.connections > connections, "the runner's notice of the silence", SETTLE_MS);
  runnerProxy.release();
  runnerProxy.breakAll();
}

/** Open sockets of a process. */
function socketsOf(pid: number): number {
  let count = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      if (Deno.readLinkSync(`/proc/${pid}/fd/${name}`).startsWith("socket:")) count++;
    } catch {
      // Closed in this moment.
    }
  }
  return count;
}

async function run(cluster: Cluster, seed: number, isLong: boolean): Promise<string> {
  const random = randomOf(seed);
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const names = Object.keys(faults) as Fault[];
  const plan = Array.from({ length: FAULTS }, (_, i) => names[(seed + i * 5) % names.length]!);
  await using toHubs = new Balancer(() => cluster.hubs.map(({ port }) => port));
  await using runnerProxy = new FaultProxy(() => Number(new URL(toHubs.url).port));
  await using clientProxy = new FaultProxy(() => Number(new URL(toHubs.url).port));
  const clientFor = (url: string) => Object.assign(new HubClient(url), { person: cluster.front.person });
  await using runner = await startRunner(clientFor(runnerProxy.url));
  await using local = new LocalApp();
  const { runnerId } = runner;
  const { tunnel } = await cluster.front.api("POST", "/api/tunnels", { runnerId, port: local.port });
  const through = clientFor(clientProxy.url);
  const client = new TunnelClient(through, tunnel.tunnelId);
  await client.enter();
  await client.ready();
  const scene: Scene = { cluster, runner, runnerProxy, clientProxy, random, pause };

  const typist = new Typist(cluster.front, through, runner);
  const works = [downloads(client, random), uploads(client, random), talks(client), typist.work];
  const progress = async (what: string) => {
    const before = works.map(({ intact }) => intact);
    const isWorking = ({ intact, failure }: Work, at: number) => {
      if (failure !== null) throw failure;
      return intact >= before[at]! + 2;
    };
    await eventually(() => works.every(isWorking), what, SETTLE_MS).catch((error) => {
      throw new Error(`${error.message}; ${plan.join("; ")}: ${told()}`, { cause: error });
    });
  };
  const told = () => works.map(({ name, intact, broken }) => `${name} ${intact} + ${broken} broken`).join(", ");
  try {
    await progress("work before any fault");
    const pids = () => [...cluster.hubs.map(({ pid }) => pid)];
    const atFirst = new Map(pids().map((pid) => [pid, { sockets: socketsOf(pid), mb: rssMb(pid) }]));
    for (const fault of plan) {
      await faults[fault](scene);
      await pause(random() * 300);
    }
    if (isLong) await goHalfOpen(scene);
    runnerProxy.release();
    clientProxy.release();
    await progress("work after the faults");
    await Promise.all(works.slice(0, 3).map((work) => work.stop()));
    const last = await typist.stop();
    assert.ok(last !== null);
    for (const hub of cluster.hubs) await showsAll(hub, runner, last);
    assert.equal(local.wrongBodies, 0, "bodies that the local server took for whole");
    await leavesNothing(cluster.hubs, local);
    for (const pid of pids()) {
      const before = atFirst.get(pid);
      if (before === undefined) continue;
      await eventually(() => socketsOf(pid) <= before.sockets + SPARE_SOCKETS, `the sockets of hub ${pid} to close`);
      assert.ok(rssMb(pid) - before.mb < SPARE_MB, `a hub grew from ${before.mb} to ${rssMb(pid)} MB`);
    }
    const daemon = await runner.daemonPid();
    await eventually(() => socketsOf(daemon) <= SPARE_SOCKETS, `the sockets of the daemon to close`);
  } finally {
    await Promise.allSettled(works.map((work) => work.stop()));
  }
  return `${plan.join("; ")}${isLong ? "; half open" : ""}: ${told()}`;
}

/** A new viewer of a terminal gets from the runner's emulator what the program wrote. */
async function showsAll(
  hub: HubProcess,
  runner: RunnerProcess,
  last: { terminalId: string; screen: string },
): Promise<void> {
  // A hub that has used no connection to denokv since these broke finds that out first, and says so.
  const open = () => TerminalClient.open(hub, runner.runnerId, last.terminalId).catch(() => null);
  await using viewer = await eventually(open, "a new viewer's screen");
  await viewer.until(() => viewer.text === last.screen, "the whole screen and its scrollback");
}

async function leavesNothing(hubs: readonly HubProcess[], local: LocalApp): Promise<void> {
  // Each tells the numbers of all.
  const sum = (name: string, label?: string) => hubs[0]!.metric(name, label);
  await eventually(async () => await sum("perch_link_streams") === 0, "no stream on any link");
  await eventually(async () => await sum("perch_connections", "terminal") === 0, "no viewer of a terminal");
  await eventually(async () => await sum("perch_connections", "link") === 1, "one link");
  await eventually(() => local.open === 0, "no request and no socket at the local server");
}

for (const peers of ["faulty", "mailboxes"] as const) {
  clusterTest(
    `terminals and tunnels under faults (hubs ${peers === "faulty" ? "connected" : "with mailboxes alone"})`,
    async (program, t) => {
      const given = Deno.env.get("PERCH_FAULT_SEED");
      const runs = given === undefined ? Number(Deno.env.get("PERCH_FAULT_RUNS") ?? 1) : 1;
      const first = given === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given);
      await using cluster = await Cluster.start(program, { isKvFaulty: true, peers });
      for (let i = 0; i < runs; i++) {
        const seed = first + i;
        await t.step(
          `seed ${seed}`,
          async () => console.log(`  ${await run(cluster, seed, i === 0 && peers === "faulty")}`),
        );
      }
    },
  );
}
