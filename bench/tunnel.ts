/**
 * `bench tunnel`: a local server through hub and runner, each a process of its own, beside the same bytes copied through two bare
 * Deno WebSockets from process to process to process, and beside the direct connection, in the same run.
 */
import { Child } from "../tests/support/child.ts";
import { startHub } from "../tests/support/hub.ts";
import { within } from "../tests/support/patience.ts";
import { startRunner } from "../tests/support/runner.ts";
import { TunnelClient } from "../tests/tunnel/support.ts";
import { PeakMemory } from "./load/peak_memory.ts";
import { cpuSeconds } from "./load/process.ts";
import { RawHttp } from "./load/raw_http.ts";
import { openEcho } from "./load/socket_door.ts";
import { forwardBySsh } from "./load/ssh_forward.ts";
import { compared, median, percentile, type Result, result } from "./report.ts";

const BYTES = 500e6;
const PIECE = new Uint8Array(256 * 1024);
const RUN_MS = 120_000;
/** What memory is compared with: everything was started and has answered this many small requests. */
const WARM_UP_REQUESTS = 50;
/** Bytes of the one long download beside a stream that nobody reads. */
const LONG_BYTES = 2e9;

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function tunnel({ isQuick }: { isQuick: boolean }): Promise<Result[]> {
  const runs = isQuick ? 2 : 5;
  const requests = 1_000;
  await using hub = await startHub();
  await using runner = await startRunner(hub);
  const logPath = await Deno.makeTempFile({ prefix: "perch-bench-", suffix: ".log" });
  const startServer = () =>
    new Child({
      args: ["run", "-A", "--quiet", new URL("./load/tunnel_server.ts", import.meta.url).pathname],
      logPath,
    });
  await using server = startServer();
  await using middle = startServer();
  const [, serverPort = ""] = await server.line(/^listening on (\d+)$/, "the server's port");
  const [, middlePort = ""] = await middle.line(/^listening on (\d+)$/, "the middle's port");
  const port = Number(serverPort);
  const { tunnel } = await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port });
  const client = new TunnelClient(hub, tunnel.tunnelId);
  await client.enter();
  await client.ready("/small");
  const through = () => RawHttp.open(hub.port, client.host, client.cookie);
  const direct = () => RawHttp.open(port, `localhost:${port}`);
  const pids = { hub: hub.pid, runner: await runner.daemonPid(), server: server.pid, load: Deno.pid };
  await small(through, 1, WARM_UP_REQUESTS);
  using memory = new PeakMemory({ hub: pids.hub, runner: pids.runner });

  const down: number[] = [];
  const up: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < runs; run++) {
    bare.push(BYTES / await bareCopy(Number(middlePort), port));
    const http = await through();
    down.push(BYTES / await seconds(() => http.get(`/bytes?n=${BYTES}`)));
    up.push(BYTES / await seconds(() => http.post("/sink", PIECE, Math.ceil(BYTES / PIECE.byteLength))));
    http.close();
    console.error(`  bare ${mb(bare)}, down ${mb(down)}, up ${mb(up)} MB/s`);
  }
  const results: Result[] = [
    compared("tunnel.down_bytes_per_s", "B/s", median(down), median(bare)),
    compared("tunnel.up_bytes_per_s", "B/s", median(up), median(bare)),
  ];

  for (const concurrency of [1, 32]) {
    await small(direct, concurrency, 200);
    await small(through, concurrency, 200);
    const directMs = await small(direct, concurrency, requests);
    const count = isQuick ? requests * 2 : requests * 10;
    const before = cpuOf(pids);
    const { ms, perSecond } = await small(through, concurrency, count);
    const after = cpuOf(pids);
    const added = percentile(ms, 0.5) - percentile(directMs.ms, 0.5);
    results.push(
      result(concurrency === 1 ? "tunnel.small_added_p50_ms" : "tunnel.small_added_p50_ms.c32", "ms", added),
    );
    if (concurrency === 1) continue;
    results.push(compared("tunnel.rps_c32", "1/s", perSecond, directMs.perSecond));
    for (const name of Object.keys(pids) as (keyof typeof pids)[]) {
      const cpuUs = (after[name] - before[name]) / count * 1e6;
      results.push(result(`tunnel.request_cpu_us.c32.${name}`, "us", cpuUs));
    }
  }

  const echoMs = await openEcho(hub.port, client, isQuick ? 500 : 2_000);
  results.push(result("tunnel.ws_echo_p50_ms", "ms", percentile(echoMs, 0.5)));

  const bulk = await through();
  const flowing = bulk.get(`/bytes?n=${isQuick ? 2 * BYTES : 6 * BYTES}`);
  let isFlowing = true;
  void flowing.finally(() => isFlowing = false);
  const during: number[] = [];
  const prober = await through();
  while (isFlowing && during.length < 500) during.push(await milliseconds(() => prober.get("/small")));
  await flowing;
  bulk.close();
  prober.close();
  results.push(result("tunnel.small_during_bulk_p50_ms", "ms", percentile(during, 0.5)));

  const slowed: number[] = [];
  const alone: number[] = [];
  for (let run = 0; run < runs; run++) {
    const http = await through();
    alone.push(await seconds(() => http.get(`/bytes?n=${BYTES}`)));
    const stalled = await through();
    await stalled.stall(`/bytes?n=${BYTES}`);
    slowed.push(await seconds(() => http.get(`/bytes?n=${BYTES}`)));
    http.close();
    stalled.close();
  }
  results.push(result("tunnel.stalled_slowdown", "ratio", median(slowed) / median(alone)));
  const long = await through();
  const stalled = await through();
  await stalled.stall(`/bytes?n=${LONG_BYTES}`);
  await seconds(() => long.get(`/bytes?n=${isQuick ? BYTES : LONG_BYTES}`));
  long.close();
  stalled.close();
  const [hubMb, runnerMb] = [memory.overIdleMb("hub"), memory.overIdleMb("runner")];
  results.push(
    result("tunnel.rss_over_idle_mb", "MB", Math.max(hubMb, runnerMb)),
    result("tunnel.rss_over_idle_mb.hub", "MB", hubMb),
    result("tunnel.rss_over_idle_mb.runner", "MB", runnerMb),
    ...await bySsh(port, runs, requests),
  );
  for (const { name, value, unit, ratio } of results) {
    console.error(`${name}: ${value} ${unit}${ratio === undefined ? "" : ` (${ratio} of the baseline)`}`);
  }
  await Deno.remove(logPath);
  return results;
}

/** The same through `ssh -L`: nothing when there is no sshd here, which is said. */
async function bySsh(port: number, runs: number, requests: number): Promise<Result[]> {
  const forwarded = await forwardBySsh(port);
  if (typeof forwarded === "string") {
    console.error(`  no comparison with ssh -L: ${forwarded}`);
    return [];
  }
  await using ssh = forwarded;
  const open = () => RawHttp.open(ssh.port, `localhost:${port}`);
  const down: number[] = [];
  const up: number[] = [];
  const http = await open();
  for (let run = 0; run < runs; run++) {
    down.push(BYTES / await seconds(() => http.get(`/bytes?n=${BYTES}`)));
    up.push(BYTES / await seconds(() => http.post("/sink", PIECE, Math.ceil(BYTES / PIECE.byteLength))));
    console.error(`  ssh -L down ${mb(down)}, up ${mb(up)} MB/s`);
  }
  http.close();
  await small(open, 32, 200);
  const one = await small(open, 1, requests);
  const many = await small(open, 32, 2 * requests);
  return [
    result("tunnel.ssh_down_bytes_per_s", "B/s", median(down)),
    result("tunnel.ssh_up_bytes_per_s", "B/s", median(up)),
    result("tunnel.ssh_small_p50_ms", "ms", percentile(one.ms, 0.5)),
    result("tunnel.ssh_small_p50_ms.c32", "ms", percentile(many.ms, 0.5)),
    result("tunnel.ssh_rps_c32", "1/s", many.perSecond),
  ];
}

function cpuOf<Name extends string>(pids: Record<Name, number>): Record<Name, number> {
  const seconds = Object.entries<number>(pids).map(([name, pid]) => [name, cpuSeconds(pid)]);
  return Object.fromEntries(seconds) as Record<Name, number>;
}

/** Seconds that the bytes take through two bare WebSockets. */
async function bareCopy(middlePort: number, sourcePort: number): Promise<number> {
  const from = encodeURIComponent(`ws://127.0.0.1:${sourcePort}/source?n=${BYTES}`);
  const startMs = performance.now();
  const socket = new WebSocket(`ws://127.0.0.1:${middlePort}/copy?from=${from}`);
  socket.binaryType = "arraybuffer";
  let got = 0;
  await within(
    new Promise<void>((resolve) => {
      socket.onmessage = ({ data }) => {
        got += data.byteLength;
        if (got >= BYTES) resolve();
      };
    }),
    "the bare copy",
    RUN_MS,
  );
  const taken = (performance.now() - startMs) / 1_000;
  socket.close();
  return taken;
}

async function small(
  open: () => Promise<RawHttp>,
  concurrency: number,
  total: number,
): Promise<{ ms: number[]; perSecond: number }> {
  const clients = await Promise.all(Array.from({ length: concurrency }, open));
  const ms: number[] = [];
  let left = total;
  const startMs = performance.now();
  await Promise.all(clients.map(async (client) => {
    while (left-- > 0) ms.push(await milliseconds(() => client.get("/small")));
    client.close();
  }));
  return { ms, perSecond: total / (performance.now() - startMs) * 1_000 };
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  return await within(milliseconds(work), "the bytes", RUN_MS) / 1_000;
}

function mb(values: readonly number[]): number {
  return Math.round(values.at(-1)! / 1e6);
}
