/** Terminals and tunnels of a runner whose data link another process holds: directly between the processes, and by mailboxes. */
import assert from "node:assert/strict";
import { tryStreamsAcross } from "../link/across.ts";
import type { HubProcess } from "../support/hub.ts";
import { startRunner } from "../support/runner.ts";
import { Cluster, clusterTest } from "./cluster.ts";

for (const peers of ["direct", "mailboxes"] as const) {
  clusterTest(`terminals and tunnels cross processes (${peers})`, async (program, t) => {
    await using cluster = await Cluster.start(program, { peers });
    const [near, far, farther] = cluster.hubs as [HubProcess, HubProcess, HubProcess];
    await using runner = await startRunner(near);
    await tryStreamsAcross(t, { near, far, farther, runner, hubPids: cluster.hubs.map(({ pid }) => pid) });
    const direct = await Promise.all(
      [far, farther].map((hub) => hub.fetch("/ws/peer").then((answer) => answer.status)),
    );
    assert.deepEqual(direct, [401, 401]);
  });
}
