/**
 * `bench terminal`: how soon a key's echo comes back through hub and runner, how fast a flood of output is over, and what a viewer
 * that does not read costs. The baseline is a pty in a process of its own that nothing stands before, in the same run.
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import nodePty from "node-pty";
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { terminalLimits, terminalTypes } from "@/protocol/terminal.ts";
import { encodeCount, encodeJson, encodeMessage, MessageDecoder } from "@/protocol/terminal_codec.ts";
import { type HubProcess, startHub } from "../tests/support/hub.ts";
import { within } from "../tests/support/patience.ts";
import { type RunnerProcess, startRunner } from "../tests/support/runner.ts";
import { bearer, openSocket } from "../tests/support/socket.ts";
import { compared, median, percentile, type Result, result } from "./report.ts";

const FLOOD_BYTES = 100e6;
const LINE = `${"0123456789".repeat(7)}\n`;
const MB = 1e6;

/** Bytes to a program and back. */
interface Wire {
  write(text: string): void;
  /** Called with every piece of output. */
  onOutput: (bytes: Uint8Array) => void;
  close(): Promise<void> | void;
}

/** Runs the bench and gives its results. What happens meanwhile is told on stderr. */
export async function terminal({ isQuick }: { isQuick: boolean }): Promise<Result[]> {
  const keys = isQuick ? 300 : 2_000;
  const runs = isQuick ? 2 : 5;
  await using hub = await startHub();
  await using runner = await startRunner(hub);
  const flood = join(runner.work, "flood.txt");
  await Deno.writeTextFile(flood, LINE.repeat(Math.ceil(FLOOD_BYTES / LINE.length)));
  const size = (await Deno.stat(flood)).size;
  const results: Result[] = [];

  const direct = await openDirect(["cat"]);
  const through = await openTerminal(hub, runner, ["cat"]);
  await echoes(direct, 30);
  await echoes(through, 30);
  // In turns, so that what else this machine does meets both.
  const directMs: number[] = [];
  const throughMs: number[] = [];
  for (let round = 0; round < 4; round++) {
    directMs.push(...await echoes(direct, keys / 4));
    throughMs.push(...await echoes(through, keys / 4));
  }
  direct.close();
  await through.close();
  for (const [name, p] of [["p50", 0.5], ["p99", 0.99]] as const) {
    results.push(compared(`terminal.echo_${name}_ms`, "ms", percentile(throughMs, p), percentile(directMs, p)));
  }

  const command = ["sh", "-c", `while read x; do cat ${flood}; echo the end of $x.; done`];
  const bareFlood = await openDirect(command);
  const hubFlood = await openTerminal(hub, runner, command);
  const bare: number[] = [];
  const ours: number[] = [];
  for (let run = 0; run < runs; run++) {
    bare.push(await floodRate(bareFlood, size));
    ours.push(await floodRate(hubFlood, size));
    console.error(`  flood: ${Math.round(ours.at(-1)! / MB)} MB/s, pty alone ${Math.round(bare.at(-1)! / MB)} MB/s`);
  }
  bareFlood.close();
  await hubFlood.close();
  results.push(compared("terminal.bytes_per_s", "B/s", median(ours), median(bare)));

  const stuck = await openTerminal(hub, runner, command, { isStuck: true });
  const idle = await memory(hub, runner);
  const watched = await openTerminal(hub, runner, command, { join: stuck.terminalId });
  let peak = 0;
  const watch = setInterval(() => memory(hub, runner).then((now) => peak = Math.max(peak, now)), 100);
  await floodRate(watched, size);
  clearInterval(watch);
  peak = Math.max(peak, await memory(hub, runner));
  await stuck.close();
  await watched.close();
  results.push({ ...compared("terminal.paused_rss_mb", "MB", peak / MB, idle / MB) });
  results.push(result("terminal.paused_over_idle_mb", "MB", (peak - idle) / MB));
  for (const { name, value, unit, ratio } of results) {
    console.error(`${name}: ${value} ${unit}${ratio === undefined ? "" : ` (${ratio} of the baseline)`}`);
  }
  return results;
}

/** Types one character at a time and waits for its echo; milliseconds each. */
async function echoes(wire: Wire, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) {
    const key = String.fromCharCode(0x61 + i % 26);
    const echoed = Promise.withResolvers<void>();
    wire.onOutput = (bytes) => bytes.includes(key.charCodeAt(0)) && echoed.resolve();
    const startMs = performance.now();
    wire.write(key);
    await within(echoed.promise, "an echo");
    found.push(performance.now() - startMs);
    // A line may not grow for ever.
    if (i % 60 !== 59) continue;
    const isNewLine = Promise.withResolvers<void>();
    wire.onOutput = (bytes) => bytes.includes(0x0a) && isNewLine.resolve();
    wire.write("\n");
    await within(isNewLine.promise, "a new line");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return found;
}

/** Asks for the flood, and gives its bytes per second until its last line is here. */
async function floodRate(wire: Wire, size: number): Promise<number> {
  const name = crypto.randomUUID().slice(0, 8);
  const end = `the end of ${name}.`;
  const over = Promise.withResolvers<void>();
  const decoder = new TextDecoder();
  let tail = "";
  wire.onOutput = (bytes) => {
    // Of a screen, the last line is followed by blanks and what puts the cursor back; and the end may be cut in two.
    tail = (tail + decoder.decode(bytes.subarray(-2_000))).slice(-4_000);
    if (tail.includes(end)) over.resolve();
  };
  const startMs = performance.now();
  wire.write(`${name}\n`);
  await within(over.promise, "the flood's last line", 120_000);
  return size / ((performance.now() - startMs) / 1_000);
}

async function openDirect(command: string[]): Promise<Wire> {
  const [program = "", ...args] = command;
  const pty = nodePty.spawn(program, args, { cols: 80, rows: 24, encoding: null });
  const wire: Wire = {
    onOutput: () => {},
    write: (text) => pty.write(Buffer.from(text)),
    close: () => pty.kill("SIGKILL"),
  };
  pty.onData((bytes: Uint8Array) => wire.onOutput(bytes));
  await new Promise((resolve) => setTimeout(resolve, 200));
  return wire;
}

async function openTerminal(
  hub: HubProcess,
  runner: RunnerProcess,
  command: string[],
  { isStuck = false, join }: { isStuck?: boolean; join?: string } = {},
): Promise<Wire & { terminalId: string }> {
  const { runnerId } = runner;
  const terminalId = join ??
    (await hub.api("POST", "/api/terminals", { runnerId, cwd: runner.work, command })).terminal.terminalId;
  const query = new URLSearchParams({ runnerId, terminalId, protocolVersion: String(PROTOCOL_VERSION) });
  const socket = openSocket(`ws://127.0.0.1:${hub.port}/ws/terminal?${query}`, bearer(hub.apiKey));
  socket.binaryType = "arraybuffer";
  const decoder = new MessageDecoder(terminalLimits.messageBytes);
  const attached = Promise.withResolvers<void>();
  let shown = 0;
  const wire = {
    terminalId,
    onOutput: (_bytes: Uint8Array) => {},
    write: (text: string) => socket.send(encodeMessage(terminalTypes.input, new TextEncoder().encode(text))),
    close: async () => {
      socket.close();
      await hub.api("DELETE", `/api/terminals/${terminalId}?runnerId=${runnerId}`).catch(() => {});
    },
  };
  socket.onopen = () => socket.send(encodeJson(terminalTypes.resize, { cols: 80, rows: 24 }));
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
      if (JSON.parse(data).type === "ping") socket.send('{"type":"pong"}');
      return;
    }
    for (const { type, payload } of decoder.push(new Uint8Array(data))) {
      if (type === terminalTypes.screen) attached.resolve();
      if (type !== terminalTypes.output) continue;
      wire.onOutput(payload);
      shown += payload.length;
      if (isStuck || shown < terminalLimits.creditBytes) continue;
      socket.send(encodeCount(terminalTypes.credit, shown));
      shown = 0;
    }
  };
  await within(attached.promise, "the screen of the bench's terminal");
  return wire;
}

/** The memory of the largest of hub, runner and terminals. Linux alone tells it; elsewhere NaN. */
async function memory(hub: HubProcess, runner: RunnerProcess): Promise<number> {
  try {
    const daemon = await runner.daemonPid();
    const children = (await Deno.readTextFile(`/proc/${daemon}/task/${daemon}/children`)).trim().split(" ");
    return Math.max(...[hub.pid, daemon, ...children.filter(Boolean).map(Number)].map(rssBytes));
  } catch {
    return NaN;
  }
}

function rssBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) * 1024;
  } catch {
    return 0;
  }
}
