/** The hub's configuration: from the environment, which `start.ts` fills from its options. */
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { defaultRetention, type RetentionLimits } from "@/lib/retention_policy.ts";
import type { LogLevel } from "./log.ts";

const Port = z.coerce.number({ error: "must be a number" }).int("must be a whole number").min(0, "must be at least 0")
  .max(
    65_535,
    "must be at most 65535",
  );
const Flag = z.enum(["0", "1", ""], { error: 'must be "1" or "0"' }).transform((value) => value === "1");
const HttpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });

const MiB = 1024 * 1024;
const dayMs = 24 * 60 * 60 * 1000;
/** A bound of retention in `unit`s; 0: none. */
const Bound = (byDefault: number, unit: number) =>
  z.coerce.number({ error: "must be a number" }).min(0, "must not be negative; 0 means no bound")
    .default(byDefault / unit).transform((count) => count === 0 ? Infinity : count * unit);

const Environment = z.object({
  /** Folder of the database and of the local runner. */
  PERCH_DATA_DIR: z.string().min(1).default(join(homedir(), ".perch")),
  PERCH_HOST: z.string().min(1).default("127.0.0.1"),
  PERCH_PORT: Port.default(7700),
  /** Where people open the hub when a proxy stands before it: "https://perch.example". */
  PERCH_PUBLIC_URL: HttpUrl.optional(),
  /** Further host names, comma-separated, that requests may name. */
  PERCH_HOST_NAMES: z.string().default("").transform((list) =>
    list.split(",").map((name) => name.trim()).filter(Boolean)
  ),
  /** Where the other instances of the hub reach this one, past any balancer: "http://10.0.0.5:7700"; "auto": at its own address. */
  PERCH_ISOLATE_URL: z.literal("auto").or(HttpUrl).optional(),
  PERCH_OPEN_SIGNUP: Flag.default(false),
  /** What the hub keeps of timelines (docs/retention.md); the rest is on the runners. */
  PERCH_RETENTION_SESSION_MB: Bound(defaultRetention.sessionBytes, MiB),
  PERCH_RETENTION_USER_MB: Bound(defaultRetention.userBytes, MiB),
  PERCH_RETENTION_DAYS: Bound(defaultRetention.idleMs, dayMs),
  PERCH_RETENTION_FORGET_DAYS: Bound(defaultRetention.forgetMs, dayMs),
  /** KV Connect server (denokv) instead of the embedded database. */
  PERCH_KV_URL: HttpUrl.optional(),
  /** How many isolates serve the port. */
  PERCH_ISOLATES: z.coerce.number({ error: "must be a number" }).int("must be a whole number").min(
    1,
    "must be at least 1",
  ).max(64, "must be at most 64").default(
    1,
  ),
  PERCH_LOG_LEVEL: z.enum(["debug", "info", "warning", "error"], {
    error: 'must be "debug", "info", "warning" or "error"',
  }).optional(),
  PERCH_DRAIN_MS: z.coerce.number({ error: "must be a number of milliseconds" }).int("must be a whole number").min(
    0,
    "must be at least 0",
  ).max(300_000, "must be at most 300000").default(5_000),
  PERCH_METRICS_TOKEN: z.string().min(16, "must have at least 16 characters").optional(),
  PERCH_TRUST_PROXY: Flag.default(false),
  /** Domain below which each tunnel has an origin of its own: "tunnels.example", or "tunnels.example:8443". */
  PERCH_TUNNEL_DOMAIN: z.string().toLowerCase().regex(
    /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?::\d{1,5})?$/,
    'must be a domain name such as "tunnels.example", without scheme and path',
  ).max(200).optional(),
});

export interface HubEnvironment {
  logLevel: LogLevel;
  /** How long moving clients over may take when the hub stops. */
  drainMs: number;
  /** What /metrics asks for in place of an API key. */
  metricsToken?: string;
  /** Whether the last hop of X-Forwarded-For is the client's address. */
  isProxyTrusted: boolean;
  dataDir: string;
  host: string;
  port: number;
  publicUrl?: string;
  isolateUrl?: string;
  hostNames: string[];
  isSignupOpen: boolean;
  /** What lib/kv's openKv takes; undefined: the platform's own database. */
  kvLocation?: string;
  isolates: number;
  /** Where tunnels are (lib/tunnel/address.ts). */
  tunnels: { domain: string | null; scheme: "http" | "https"; port: string | null };
  retention: RetentionLimits;
}

/** An environment variable or option cannot be used. The message names it and says what was expected. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/**
 * Reads the configuration from environment variables. Throws ConfigError for the first one that cannot be used; the value of
 * a secret is not in its message. `isTerminal`: a person looks at stderr, so only warnings are worth a line there.
 */
export function readEnvironment(
  env: Record<string, string | undefined>,
  isTerminal = false,
  interfaces: () => Pick<Deno.NetworkInterfaceInfo, "family" | "address">[] = Deno.networkInterfaces,
): HubEnvironment {
  const set = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => name in Environment.shape && value !== ""),
  );
  const parsed = Environment.safeParse(set);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const name = String(issue.path[0]);
    const shown = name === "PERCH_METRICS_TOKEN" ? "set" : JSON.stringify(set[name]);
    throw new ConfigError(`${name} is ${shown}: ${issue.message}`);
  }
  const { data } = parsed;
  if (data.PERCH_ISOLATE_URL !== undefined && data.PERCH_ISOLATES > 1) {
    throw new ConfigError(
      `PERCH_ISOLATE_URL is "${data.PERCH_ISOLATE_URL}" and PERCH_ISOLATES is ${data.PERCH_ISOLATES}: ` +
        `an address can only be one isolate's; leave PERCH_ISOLATES out and run more processes`,
    );
  }
  const tunnels = tunnelPlace(data.PERCH_TUNNEL_DOMAIN, data.PERCH_PUBLIC_URL);
  const isOnDeploy = env.DENO_DEPLOYMENT_ID !== undefined;
  return {
    dataDir: data.PERCH_DATA_DIR,
    host: data.PERCH_HOST,
    port: data.PERCH_PORT,
    publicUrl: data.PERCH_PUBLIC_URL?.replace(/\/+$/, ""),
    isolateUrl: data.PERCH_ISOLATE_URL === "auto"
      ? ownUrl(data.PERCH_HOST, data.PERCH_PORT, interfaces())
      : data.PERCH_ISOLATE_URL,
    hostNames: data.PERCH_HOST_NAMES,
    isSignupOpen: data.PERCH_OPEN_SIGNUP,
    kvLocation: data.PERCH_KV_URL ?? (isOnDeploy ? undefined : join(data.PERCH_DATA_DIR, "hub", "kv.sqlite3")),
    isolates: data.PERCH_ISOLATES,
    retention: {
      sessionBytes: data.PERCH_RETENTION_SESSION_MB,
      userBytes: data.PERCH_RETENTION_USER_MB,
      idleMs: data.PERCH_RETENTION_DAYS,
      forgetMs: data.PERCH_RETENTION_FORGET_DAYS,
    },
    logLevel: data.PERCH_LOG_LEVEL ?? (isTerminal ? "warning" : "info"),
    drainMs: data.PERCH_DRAIN_MS,
    metricsToken: data.PERCH_METRICS_TOKEN,
    isProxyTrusted: data.PERCH_TRUST_PROXY,
    tunnels,
  };
}

/** Tunnels are reached as the hub is: by its scheme, and its port unless the domain names another. */
function tunnelPlace(domain: string | undefined, publicUrl: string | undefined): HubEnvironment["tunnels"] {
  const url = publicUrl === undefined ? null : new URL(publicUrl);
  const scheme = url?.protocol === "https:" ? "https" : "http";
  if (domain === undefined) return { domain: null, scheme: "http", port: null };
  const [name = "", port] = domain.split(":");
  if (url !== null && url.hostname.endsWith(`.${name}`)) {
    throw new ConfigError(
      `PERCH_TUNNEL_DOMAIN is "${domain}": the hub itself (${url.hostname}) is below it; choose one that is the tunnels' alone`,
    );
  }
  return { domain: name, scheme, port: port ?? url?.port ?? null };
}

/** Where other machines of the network reach a server that listens on `host`. Throws ConfigError when they cannot. */
function ownUrl(
  host: string,
  port: number,
  interfaces: readonly Pick<Deno.NetworkInterfaceInfo, "family" | "address">[],
): string {
  const isAny = host === "0.0.0.0" || host === "::";
  const family = host === "0.0.0.0" ? "IPv4" : null;
  const outward = interfaces.filter(({ address }) => !/^(127\.|::1$|169\.254\.|fe80:)/i.test(address))
    .toSorted((a, b) => a.family.localeCompare(b.family));
  const address = isAny ? outward.find((own) => family === null || own.family === family)?.address : host;
  if (address === undefined || /^(127\.|::1$|localhost$)/.test(address)) {
    throw new ConfigError(`PERCH_ISOLATE_URL is "auto" and PERCH_HOST is "${host}": no other machine reaches it there`);
  }
  if (port === 0) throw new ConfigError('PERCH_ISOLATE_URL is "auto" and PERCH_PORT is 0: choose a port');
  return `http://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** Where people on this machine open the hub. */
export function localUrl({ host, port }: Pick<HubEnvironment, "host" | "port">): string {
  const isAny = host === "0.0.0.0" || host === "::" || host === "127.0.0.1" || host === "::1";
  const name = isAny ? "localhost" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
