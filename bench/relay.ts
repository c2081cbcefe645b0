/**
 * `bench relay`: how fast and how soon a session's stream reaches its viewers through the real hub, in a process of its own, over
 * real sockets, compared with a bare broadcast of the same bytes in the same run. The load runs in this process.
 */
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { Child } from "../tests/support/child.ts";
import { type HubProcess, startHub } from "../tests/support/hub.ts";
import { within } from "../tests/support/patience.ts";
import { Broadcast, ViewerCounter } from "./load/broadcast.ts";
import { eachMessage } from "./load/hub_socket.ts";
import { cpuSeconds } from "./load/process.ts";
import { RawSocket, textFrame } from "./load/raw_socket.ts";
import { MessageStream } from "./load/stream.ts";
import { compared, median, percentile, type Result } from "./report.ts";

const VIEWER_COUNTS = [1, 20, 100];
/** Rate at which latencies are measured. */
const OFFERED_PER_S = 500;
const WARM_UP_MS = 300;
/** At the offered rate there is little to warm up with, and the viewers' attachment is still being told to others. */
const LATENCY_WARM_UP_MS = 1_000;

interface Plan {
  /** Runs of the baseline before and after, and of the hub in between. */
  baselineRuns: number;
  hubRuns: number;
  runMs: number;
  latencyMs: number;
}

const quickPlan: Plan = { baselineRuns: 1, hubRuns: 2, runMs: 900, latencyMs: 2_000 };
const fullPlan: Plan = { baselineRuns: 4, hubRuns: 9, runMs: 3_000, latencyMs: 8_000 };

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function relay(options: { isQuick: boolean }): Promise<Result[]> {
  const plan = options.isQuick ? quickPlan : fullPlan;
  const logPath = await Deno.makeTempFile({ prefix: "perch-bench-", suffix: ".log" });
  await using hub = await startHub();
  await using bare = new Child({
    args: ["run", "-A", "--quiet", new URL("./load/baseline_server.ts", import.meta.url).pathname],
    logPath,
  });
  const [, port] = await bare.line(/^listening on (\d+)$/, "the baseline's port");
  const servers: Record<"hub" | "bare", BenchServer> = {
    hub: { pid: hub.pid, open: (viewers) => openHubBroadcast(hub, viewers) },
    bare: { pid: bare.pid, open: (viewers) => openBareBroadcast(`ws://127.0.0.1:${port}`, viewers) },
  };
  const results: Result[] = [];
  for (const viewers of VIEWER_COUNTS) results.push(...await measure(servers, viewers, plan));
  await Deno.remove(logPath);
  return results;
}

interface BenchServer {
  pid: number;
  open(viewers: number): Promise<Broadcast>;
}

async function measure(
  { hub, bare }: Record<"hub" | "bare", BenchServer>,
  viewers: number,
  plan: Plan,
): Promise<Result[]> {
  const baseline: Throughput[] = [];
  const ours: Throughput[] = [];
  const runBare = async () => {
    for (let i = 0; i < plan.baselineRuns; i++) baseline.push(await throughput(bare, viewers, plan.runMs));
  };
  await runBare();
  for (let i = 0; i < plan.hubRuns; i++) ours.push(await throughput(hub, viewers, plan.runMs));
  await runBare();
  const perSecond = compared(
    `relay.deliveries_per_s.v${viewers}`,
    "1/s",
    median(ours.map((run) => run.perSecond)),
    median(baseline.map((run) => run.perSecond)),
  );
  const bareMs = await latencies(bare, viewers, plan.latencyMs / 2);
  const hubMs = await latencies(hub, viewers, plan.latencyMs);
  const results = [
    perSecond,
    compared(`relay.p50_ms.v${viewers}`, "ms", percentile(hubMs, 0.5), percentile(bareMs, 0.5)),
    compared(`relay.p99_ms.v${viewers}`, "ms", percentile(hubMs, 0.99), percentile(bareMs, 0.99)),
  ];
  if (viewers === 20) {
    results.push(compared(
      "relay.deliveries_per_cpu_s.v20",
      "1/s",
      median(ours.map((run) => run.perCpuSecond)),
      median(baseline.map((run) => run.perCpuSecond)),
    ));
  }
  for (const { name, value, unit, ratio } of results) {
    console.error(`${name}: ${value} ${unit}${ratio === undefined ? "" : ` (${ratio} of the baseline)`}`);
  }
  return results;
}

interface Throughput {
  perSecond: number;
  /** Deliveries per second of the server process's CPU time. */
  perCpuSecond: number;
}

async function throughput(server: BenchServer, viewers: number, durationMs: number): Promise<Throughput> {
  const broadcast = await server.open(viewers);
  await broadcast.throughput(WARM_UP_MS);
  const cpuBefore = cpuSeconds(server.pid);
  const loadBefore = cpuSeconds(Deno.pid);
  const startMs = performance.now();
  const perSecond = await broadcast.throughput(durationMs);
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const elapsedS = (performance.now() - startMs) / 1_000;
  const share = (seconds: number) => `${Math.round(seconds / elapsedS * 100)} %`;
  console.error(
    `  v${viewers}: ${Math.round(perSecond)}/s, CPU: server ${share(cpu)}, load ${
      share(cpuSeconds(Deno.pid) - loadBefore)
    }`,
  );
  await broadcast.close();
  return { perSecond, perCpuSecond: perSecond * elapsedS / cpu };
}

async function latencies(server: BenchServer, viewers: number, durationMs: number): Promise<number[]> {
  const broadcast = await server.open(viewers);
  await broadcast.latencies(OFFERED_PER_S, LATENCY_WARM_UP_MS);
  const found = await broadcast.latencies(OFFERED_PER_S, durationMs);
  await broadcast.close();
  return found;
}

/** A new session on the hub with its producer and viewers attached. */
async function openHubBroadcast(hub: HubProcess, viewerCount: number): Promise<Broadcast> {
  const sessionId = crypto.randomUUID();
  const registered = Promise.withResolvers<{ epoch: number }>();
  /** Seq of the last acknowledged record. */
  let acked = 0;
  const changed = () => broadcast?.changed();
  const url = (namespace: string) => `ws://127.0.0.1:${hub.port}/ws/${namespace}?protocolVersion=${PROTOCOL_VERSION}`;
  const authorization = { authorization: `Bearer ${hub.apiKey}` };
  const producer = await RawSocket.open(
    url("relay"),
    authorization,
    eachMessage((message) => {
      if (message.type === "registered") registered.resolve({ epoch: Number(message.epoch) });
      else if (message.type === "event_ack") {
        acked = Number(message.seq);
        changed();
      } else if (message.type === "error") throw new Error(`the hub refused: ${JSON.stringify(message)}`);
    }),
  );
  producer.send(textFrame(JSON.stringify({
    type: "register",
    protocolVersion: PROTOCOL_VERSION,
    sessionId,
    runnerId: "bench",
    logId: crypto.randomUUID(),
    lastSeq: 0,
    cwd: "/bench",
    sessionName: null,
    agent: { id: "custom", name: "Bench" },
    startedAt: Date.now(),
  })));
  const { epoch } = await within(registered.promise, "the registration of the bench's producer");
  const viewers = await Promise.all(Array.from({ length: viewerCount }, async () => {
    const counter = new ViewerCounter(changed);
    const attached = Promise.withResolvers<void>();
    let isAttached = false;
    const attaching = eachMessage((message) => {
      if (message.type !== "snapshot") return;
      isAttached = true;
      attached.resolve();
    });
    const socket = await RawSocket.open(
      url("viewer"),
      authorization,
      (bytes, start, end, isEnd) => (isAttached ? counter.take : attaching)(bytes, start, end, isEnd),
    );
    socket.send(textFrame(JSON.stringify({ type: "switch_session", sessionId, generation: 1 })));
    await within(attached.promise, "the attachment of a viewer");
    return { socket, counter };
  }));
  const broadcast: Broadcast = new Broadcast({
    producer,
    viewers,
    stream: new MessageStream(sessionId, epoch),
    ackedRecords: () => acked,
  });
  return broadcast;
}

async function openBareBroadcast(url: string, viewerCount: number): Promise<Broadcast> {
  const changed = () => broadcast?.changed();
  const viewers = await Promise.all(Array.from({ length: viewerCount }, async () => {
    const counter = new ViewerCounter(changed);
    return { socket: await RawSocket.open(`${url}/viewer`, {}, counter.take), counter };
  }));
  const producer = await RawSocket.open(`${url}/producer`, {}, () => {});
  const stream = new MessageStream(crypto.randomUUID(), 1);
  const broadcast: Broadcast = new Broadcast({ producer, viewers, stream, ackedRecords: null });
  return broadcast;
}
