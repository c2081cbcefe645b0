/** `perch expose`: makes a local port reachable through the hub, lists such tunnels and closes them. */
import * as z from "zod";
import { formatByteRate, parseByteRate } from "@/protocol/byte_rate.ts";
import { type TunnelBounds, TunnelInfo, tunnelLimits } from "@/protocol/tunnel.ts";
import { hubSettings, readConfig } from "../config.ts";
import { dataDir } from "../data_dir.ts";
import { LoginError } from "../device_login.ts";
import { type CommandValues, UsageError } from "./arguments.ts";

const HUB_MS = 20_000;
const Failure = z.object({ error: z.object({ message: z.string() }) });
const OneTunnel = z.object({ tunnel: TunnelInfo });
const Tunnels = z.object({ tunnels: z.array(TunnelInfo) });

/** Carries the command out and resolves with the exit code. Throws UsageError, LoginError, or an Error with the hub's reason. */
export async function expose(portArgument: string | undefined, values: CommandValues): Promise<number> {
  const env = Deno.env.toObject();
  const config = readConfig(dataDir(values["data-dir"], env).config);
  const { hubUrl, apiKey } = hubSettings(config, env, values.hub);
  if (hubUrl === null || apiKey === null) {
    throw new LoginError(`this machine has no key for ${hubUrl ?? "a hub"}; run perch login <hub-url>`);
  }
  const hub: Hub = { url: hubUrl, apiKey };
  if (values.list) return await list(hub, values);
  if (portArgument === undefined) throw new UsageError("perch expose needs <port>, or --list; see perch expose --help");
  const port = Number(portArgument);
  if (!/^\d{1,5}$/.test(portArgument) || port < 1 || port > 65_535) {
    throw new UsageError(`"${portArgument}" is no port; a port is a number from 1 to 65535`);
  }
  const bounds = boundsOf(values);
  const { runnerId } = config;
  if (runnerId === undefined) throw new LoginError("no runner has run on this machine yet; start it with perch runner");
  if (values.close) return await close(hub, runnerId, port);
  const sessionId = values.session ?? env.PERCH_SESSION_ID;
  const { tunnel } = OneTunnel.parse(
    await ask(hub, "POST", "/api/tunnels", {
      runnerId,
      port,
      ...(values.name ? { name: values.name } : {}),
      ...(values.host ? { host: values.host } : {}),
      ...(sessionId ? { sessionId } : {}),
      ...(Object.keys(bounds).length > 0 ? { bounds } : {}),
    }),
  );
  if (values.json) console.log(JSON.stringify(tunnel, null, 2));
  else {
    const limits = limitsOf(tunnel);
    console.log(`Port ${port} is exposed to you alone as "${tunnel.name}":\n\n  ${addressOf(hub, tunnel)}\n`);
    if (limits !== "") console.log(`It carries at most ${limits}.`);
    console.log(`Close it with: perch expose ${port} --close`);
  }
  return 0;
}

/** Throws UsageError. */
function boundsOf(values: CommandValues): Partial<TunnelBounds> {
  const { "max-connections": connections, "max-rate": rate } = values;
  const { maxConnections, minBytesPerS, maxBytesPerS } = tunnelLimits;
  const bounds: Partial<TunnelBounds> = {};
  if (connections !== undefined) {
    bounds.connections = Number(connections);
    if (!/^\d{1,6}$/.test(connections) || bounds.connections < 1 || bounds.connections > maxConnections) {
      throw new UsageError(`--max-connections "${connections}" is not a number from 1 to ${maxConnections}`);
    }
  }
  if (rate !== undefined) {
    bounds.bytesPerS = rate === "none" ? null : parseByteRate(rate) ?? 0;
    if (bounds.bytesPerS !== null && (bounds.bytesPerS < minBytesPerS || bounds.bytesPerS > maxBytesPerS)) {
      const range = `from ${formatByteRate(minBytesPerS)} to ${formatByteRate(maxBytesPerS)}`;
      throw new UsageError(`--max-rate "${rate}" is no rate ${range}; write it as 500kB or 2MB, or none`);
    }
  }
  return bounds;
}

/** "20 requests at once, 2 MB/s"; empty: what every tunnel carries. */
function limitsOf({ bounds: { connections, bytesPerS } }: TunnelInfo): string {
  const requests = connections === tunnelLimits.connections ? [] : [`${connections} requests at once`];
  return [...requests, ...(bytesPerS === null ? [] : [formatByteRate(bytesPerS)])].join(", ");
}

interface Hub {
  url: string;
  apiKey: string;
}

async function list(hub: Hub, values: CommandValues): Promise<number> {
  const { tunnels } = Tunnels.parse(await ask(hub, "GET", "/api/tunnels"));
  if (values.json) console.log(JSON.stringify(tunnels, null, 2));
  else if (tunnels.length === 0) console.log("No port is exposed. Expose one with: perch expose <port>");
  for (const tunnel of values.json ? [] : tunnels) {
    const runner = `${tunnel.runnerName ?? "a runner that is gone"}${tunnel.isConnected ? "" : " (offline)"}`;
    const limits = limitsOf(tunnel);
    const about = `${tunnel.name}  on ${runner}${limits === "" ? "" : `  (at most ${limits})`}`;
    console.log(`${String(tunnel.port).padEnd(6)} ${about}\n       ${addressOf(hub, tunnel)}`);
  }
  return 0;
}

async function close(hub: Hub, runnerId: string, port: number): Promise<number> {
  const { tunnels } = Tunnels.parse(
    await ask(hub, "GET", `/api/tunnels?${new URLSearchParams({ runnerId })}`),
  );
  const found = tunnels.filter((tunnel) => tunnel.port === port);
  if (found.length === 0) throw new Error(`port ${port} of this machine is not exposed; see perch expose --list`);
  for (const { tunnelId } of found) await ask(hub, "DELETE", `/api/tunnels/${tunnelId}`);
  console.log(`Port ${port} is not exposed any more.`);
  return 0;
}

/** Where its owner goes in: the hub leads on to the tunnel itself. */
function addressOf(hub: Hub, tunnel: TunnelInfo): string {
  if (tunnel.address === null) {
    return "It has no address on this hub: without PERCH_TUNNEL_DOMAIN only the ports of a session have one (--session ID).";
  }
  return hub.url + (tunnel.address.form === "path" ? tunnel.address.url : `/tunnel/${tunnel.tunnelId}`);
}

async function ask(hub: Hub, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(hub.url + path, {
    method,
    headers: { authorization: `Bearer ${hub.apiKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(HUB_MS),
  });
  const text = await response.text();
  if (response.ok) return text === "" ? null : JSON.parse(text);
  const failure = Failure.safeParse(parsed(text));
  throw new Error(failure.success ? failure.data.error.message : `the hub answers ${response.status}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
