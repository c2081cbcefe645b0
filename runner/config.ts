/** `config.json` of the data directory: the runner's name, roots, identity and its keys, one for each hub. */
import { homedir, hostname } from "node:os";
import * as z from "zod";
import { Id, limits } from "@/protocol/mod.ts";
import { TunnelHost } from "@/protocol/tunnel.ts";
import { readTextIfExists, writeFileAtomic } from "./atomic_file.ts";
import { parseHubUrl } from "./hub_socket.ts";

export const Config = z.strictObject({
  /** The hub that is used when none is named. */
  hubUrl: z.string().min(1).optional(),
  /** Keys by hub address: a key is sent to the hub that gave it and to no other. */
  hubs: z.record(z.string(), z.strictObject({ apiKey: z.string().min(1), userName: z.string().optional() })).optional(),
  name: z.string().trim().min(1).max(limits.titleChars).optional(),
  roots: z.array(z.string().min(1).max(limits.pathChars)).min(1).max(64).optional(),
  /** Hosts beside this machine that tunnels may lead to. */
  tunnelHosts: z.array(TunnelHost).max(64).optional(),
  /** Made once. The hub binds it to the first user that registers it. */
  runnerId: z.optional(Id),
});
export type Config = z.infer<typeof Config>;

/** Something about the configuration that the person must put right. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** Reads the file; none there is an empty configuration. Throws ConfigError naming the file and the key that is wrong. */
export function readConfig(path: string): Config {
  const text = readTextIfExists(path);
  if (text === null) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${path} is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  const parsed = Config.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === "unrecognized_keys") {
    const key = [...issue.path, issue.keys[0]].join(".");
    throw new ConfigError(
      `${path}: there is no key "${key}"; known are ${Object.keys(Config.shape).join(", ")}`,
    );
  }
  throw new ConfigError(`${path}: key "${issue?.path.join(".")}": ${issue?.message}`);
}

/** Changes the file: reads it, applies `change`, writes it whole (atomically, 0600). */
export function updateConfig(path: string, change: (config: Config) => Config): Config {
  const config = change(readConfig(path));
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")) || "/", { recursive: true, mode: 0o700 });
  writeFileAtomic(path, JSON.stringify(config, null, 2) + "\n");
  return config;
}

/** The key under which a hub's credentials are kept: its address without a trailing slash. */
export function hubKey(hubUrl: string): string {
  return parseHubUrl(hubUrl).href.replace(/\/+$/, "");
}

export interface HubSettings {
  /** Null: no hub was named anywhere. */
  hubUrl: string | null;
  /** Null: no key for this hub. */
  apiKey: string | null;
  userName: string | null;
}

/** Which hub, and with which key: option, then PERCH_HUB_URL, then the file; PERCH_API_KEY before the file's key. Throws for a bad address. */
export function hubSettings(
  config: Config,
  env: Record<string, string | undefined>,
  hubOption?: string,
): HubSettings {
  const named = hubOption ?? (env.PERCH_HUB_URL || config.hubUrl);
  if (named === undefined) return { hubUrl: null, apiKey: env.PERCH_API_KEY || null, userName: null };
  const hubUrl = hubKey(named);
  const stored = config.hubs?.[hubUrl];
  return {
    hubUrl,
    apiKey: env.PERCH_API_KEY || stored?.apiKey || null,
    userName: env.PERCH_API_KEY ? null : stored?.userName ?? null,
  };
}

/** The runner's name: option, file, or the machine's host name. */
export function runnerName(config: Config, nameOption?: string): string {
  return (nameOption?.trim() || config.name || hostname() || "runner").slice(0, limits.titleChars);
}

/**
 * The real paths of the workspace roots: options, file, or the home directory. Throws ConfigError naming a root that is not there or
 * not a directory.
 */
export function resolveRoots(config: Config, rootOptions: readonly string[] = []): string[] {
  const roots = rootOptions.length > 0 ? rootOptions : config.roots ?? [homedir()];
  return [
    ...new Set(roots.map((root) => {
      const path = root === "~" || root.startsWith("~/") ? homedir() + root.slice(1) : root;
      try {
        const real = Deno.realPathSync(path);
        if (Deno.statSync(real).isDirectory) return real;
      } catch (error) {
        throw new ConfigError(
          error instanceof Deno.errors.NotFound
            ? `root "${root}" does not exist`
            : `root "${root}" cannot be read: ${error instanceof Error ? error.message : error}`,
        );
      }
      throw new ConfigError(`root "${root}" is not a directory`);
    })),
  ];
}
