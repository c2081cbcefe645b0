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
import { residentBytes } from "../tests/support/memory.ts";
import { type RunnerProcess, startRunner } from "../tests/support/runner.ts";
import { bearer, openSocket } from "../tests/support/socket.ts";
import { compared, median, percentile, type Result, result } from "./report.ts";

const FLOOD_BYTES = 100e6;
/** Of every line of the flood, its number included. */
const LINE_BYTES = 71;
const NUMBER_DIGITS = 8;
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
  const lineCount = Math.ceil(FLOOD_BYTES / LINE_BYTES);
  await Deno.writeTextFile(flood, floodText(lineCount));
  const size = (await Deno.stat(flood)).size;
  const results: Result[] = [];
  const idle = await memories(hub, runner);

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
  const delivered: number[] = [];
  for (let run = 0; run < runs; run++) {
    bare.push(await floodRate(bareFlood, size));
    const received: Uint8Array[] = [];
    ours.push(await floodRate(hubFlood, size, received));
    delivered.push(seenLines(received) / lineCount);
    const rates = `${Math.round(ours.at(-1)! / MB)} MB/s, pty alone ${Math.round(bare.at(-1)! / MB)} MB/s`;
    console.error(`  flood: ${rates}; ${Math.round(delivered.at(-1)! * 100)} % of its lines reached the viewer`);
  }
  bareFlood.close();
  await hubFlood.close();
  results.push(compared("terminal.bytes_per_s", "B/s", median(ours), median(bare)));
  results.push(result("terminal.delivered_ratio", "", median(delivered)));

  const stuck = await openTerminal(hub, runner, command, { isStuck: true });
  // Of a terminal's process: before its flood. Of hub and daemon: before anything.
  for (const [pid, { bytes, name }] of await memories(hub, runner)) if (!idle.has(pid)) idle.set(pid, { bytes, name });
  const watched = await openTerminal(hub, runner, command, { join: stuck.terminalId });
  const peaks = new Map<number, number>();
  const look = async () => {
    for (const [pid, { bytes }] of await memories(hub, runner)) peaks.set(pid, Math.max(peaks.get(pid) ?? 0, bytes));
  };
  const watch = setInterval(look, 50);
  await floodRate(watched, size);
  clearInterval(watch);
  await look();
  await stuck.close();
  await watched.close();
  const grown = [...peaks].flatMap(([pid, peak]) => {
    const before = idle.get(pid);
    return before === undefined ? [] : { ...before, peak, over: peak - before.bytes };
  }).sort((a, b) => b.over - a.over);
  for (const { name, bytes, peak } of grown) {
    console.error(`  ${name}: ${Math.round(bytes / MB)} MB idle, at most ${Math.round(peak / MB)} MB`);
  }
  const largest = grown.reduce((a, b) => a.peak > b.peak ? a : b);
  results.push(compared("terminal.paused_rss_mb", "MB", largest.peak / MB, largest.bytes / MB));
  results.push(result("terminal.paused_over_idle_mb", "MB", grown[0]!.over / MB));
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

/** Numbered lines: which of them a viewer was given can be counted. */
function floodText(lineCount: number): string {
  const rest = "0123456789".repeat(7).slice(0, LINE_BYTES - 1 - NUMBER_DIGITS);
  return Array.from({ length: lineCount }, (_, at) => `${String(at).padStart(NUMBER_DIGITS, "0")}${rest}\n`).join("");
}

/** How many different lines of the flood are in what was received. */
function seenLines(received: readonly Uint8Array[]): number {
  const seen = new Set<string>();
  const decoder = new TextDecoder();
  let cut = "";
  for (const bytes of received) {
    const lines = (cut + decoder.decode(bytes, { stream: true })).split("\r\n");
    cut = lines.pop()!;
    for (const line of lines) if (/^\d{8}0123456789/.test(line)) seen.add(line.slice(0, NUMBER_DIGITS));
  }
  return seen.size;
}

/** Asks for the flood, and gives its bytes per second until its last line is here; what comes is added to `received`. */
async function floodRate(wire: Wire, size: number, received?: Uint8Array[]): Promise<number> {
  const name = crypto.randomUUID().slice(0, 8);
  const end = `the end of ${name}.`;
  const over = Promise.withResolvers<void>();
  const decoder = new TextDecoder();
  let tail = "";
  wire.onOutput = (bytes) => {
    received?.push(bytes);
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

/** The memory of hub, daemon and terminals, by process. Linux alone tells it; elsewhere there is none. */
async function memories(hub: HubProcess, runner: RunnerProcess): Promise<Map<number, { name: string; bytes: number }>> {
  const daemon = await runner.daemonPid();
  const children = await Deno.readTextFile(`/proc/${daemon}/task/${daemon}/children`).catch(() => "");
  const found = new Map<number, { name: string; bytes: number }>();
  const add = (pid: number, name: string) => {
    const bytes = residentBytes(pid);
    if (bytes > 0) found.set(pid, { name, bytes });
  };
  add(hub.pid, "hub");
  add(daemon, "daemon");
  for (const pid of children.split(" ").map(Number).filter(Boolean)) add(pid, "terminal");
  return found;
}
