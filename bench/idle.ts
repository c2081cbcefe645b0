/**
 * `bench idle`: what sessions, viewers and runners cost a hub that nobody uses: memory and CPU for each of 1,000, and the bytes
 * that each connection puts on the wire in a minute. Memory is the growth of the process's resident set, read after V8 collected
 * its garbage (over its inspector).
 */
import { PERCH_VERSION, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { freePort } from "../tests/support/denokv.ts";
import { type HubProcess, startHub } from "../tests/support/hub.ts";
import { within } from "../tests/support/patience.ts";
import { openHubSocket } from "./load/hub_socket.ts";
import { Inspector } from "./load/inspector.ts";
import { LongSession } from "./load/long_session.ts";
import { cpuSeconds, machineLoad, rssMb } from "./load/process.ts";
import { type RawSocket, textFrame } from "./load/raw_socket.ts";
import { type Result, result } from "./report.ts";
import { tell } from "./sessions.ts";

const COUNT = 1_000;
/** Of each kind, before anything is measured: code is compiled then, and pools are filled. */
const WARM_UP_COUNT = 50;
const OPENED_AT_ONCE = 40;

/**
 * `calmMs`: until what connections still cause after they were opened is over: rows told to lists, viewers counted, owners told.
 * `idleMs`: a multiple of the time between two heartbeats.
 */
const quickPlan = { calmMs: 2_000, idleMs: 5_000 };
const fullPlan = { calmMs: 5_000, idleMs: 60_000 };

interface Usage {
  rssKb: number;
  heapKb: number;
  cpuMsPerMinute: number;
  /** Of one connection, both ways. */
  bytesPerMinute: number;
}

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function idle(options: { isQuick: boolean }): Promise<Result[]> {
  const { calmMs, idleMs } = options.isQuick ? quickPlan : fullPlan;
  const port = freePort();
  await using hub = await startHub({ denoArgs: [`--inspect=127.0.0.1:${port}`] });
  using inspector = await Inspector.open(port);
  const sockets: Record<"session" | "viewer" | "runner", RawSocket[]> = { session: [], viewer: [], runner: [] };
  const sessionIds: string[] = [];
  const open = {
    session: async () => {
      const session = await LongSession.open(hub);
      await session.write(0, ["idle"]);
      sessionIds.push(session.sessionId);
      sockets.session.push(session.socket);
    },
    viewer: async (no: number) => void sockets.viewer.push(await openViewer(hub, sessionIds[no]!)),
    runner: async () => void sockets.runner.push(await openRunner(hub)),
  };
  const all = () => [...sockets.session, ...sockets.viewer, ...sockets.runner];
  const wireBytes = () => all().reduce((sum, socket) => sum + socket.receivedBytes + socket.sentBytes, 0);
  const measure = async (): Promise<Usage> => {
    await new Promise((resolve) => setTimeout(resolve, calmMs));
    await inspector.collectGarbage();
    const bytesBefore = wireBytes();
    const cpuBefore = cpuSeconds(hub.pid);
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    const cpuMs = (cpuSeconds(hub.pid) - cpuBefore) * 1_000;
    const bytes = wireBytes() - bytesBefore;
    await inspector.collectGarbage();
    return {
      bytesPerMinute: bytes / all().length / idleMs * 60_000,
      rssKb: rssMb(hub.pid) * 1_024,
      heapKb: await inspector.heapBytes() / 1_024,
      cpuMsPerMinute: cpuMs / idleMs * 60_000,
    };
  };

  for (const kind of ["session", "viewer", "runner"] as const) await many(WARM_UP_COUNT, open[kind]);
  let before = await measure();
  console.error(`  with ${WARM_UP_COUNT} of each: ${Math.round(before.rssKb / 1_024)} MiB; ${machineLoad()}`);
  const results: Result[] = [];
  for (const kind of ["session", "viewer", "runner"] as const) {
    await many(COUNT, (i) => open[kind](WARM_UP_COUNT + i));
    const after = await measure();
    results.push(
      result(`idle.${kind}_kb`, "KiB", (after.rssKb - before.rssKb) / COUNT),
      result(`idle.${kind}_heap_kb`, "KiB", (after.heapKb - before.heapKb) / COUNT),
      result(`idle.${kind}_cpu_ms`, "ms/min", (after.cpuMsPerMinute - before.cpuMsPerMinute) / COUNT),
    );
    before = after;
  }
  results.push(result("idle.bytes_per_minute", "B", before.bytesPerMinute));
  const fault = all().find((socket) => socket.fault !== null)?.fault;
  if (fault) throw fault;
  await Promise.all(all().map((socket) => socket.close()));
  tell(results);
  return results;
}

async function many(count: number, open: (no: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < count; from += OPENED_AT_ONCE) {
    const size = Math.min(OPENED_AT_ONCE, count - from);
    await Promise.all(Array.from({ length: size }, (_, i) => open(from + i)));
  }
}

/** A viewer that looks at a session. */
async function openViewer(hub: HubProcess, sessionId: string): Promise<RawSocket> {
  const attached = Promise.withResolvers<void>();
  const socket = await openHubSocket(hub, "viewer", ({ type }) => {
    if (type === "snapshot") attached.resolve();
  });
  socket.send(textFrame(JSON.stringify({ type: "switch_session", sessionId, generation: 1 })));
  await within(attached.promise, "the attachment of a viewer");
  return socket;
}

/** A runner daemon without sessions. */
async function openRunner(hub: HubProcess): Promise<RawSocket> {
  const registered = Promise.withResolvers<void>();
  const socket = await openHubSocket(hub, "runner", ({ type }) => {
    if (type === "runner_registered") registered.resolve();
  });
  socket.send(textFrame(JSON.stringify({
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId: crypto.randomUUID(),
    name: "bench",
    roots: ["/bench"],
    agents: [],
    version: PERCH_VERSION,
    platform: "linux",
    sessionIds: [],
    warnings: [],
  })));
  await within(registered.promise, "the registration of a runner");
  return socket;
}
