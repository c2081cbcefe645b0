/** Which ports this runner exposes: the one authority. Kept in a file, so that tunnels survive the daemon. */
import * as z from "zod";
import { Id } from "@/protocol/mod.ts";
import { TunnelHost, TunnelId, tunnelLimits } from "@/protocol/tunnel.ts";
import { readTextIfExists, writeFileAtomic } from "../atomic_file.ts";
import type { LocalTarget } from "./local_pool.ts";

const Exposure = z.object({
  tunnelId: TunnelId,
  port: z.number().int().min(1).max(65_535),
  /** Null: this machine. */
  host: z.nullable(TunnelHost),
  sessionId: z.nullable(Id),
  expiresAt: z.number().nullable(),
});
export type Exposure = z.infer<typeof Exposure>;

/** A port cannot be exposed; the message is for the person who asked. */
export class ExposureError extends Error {
  override name = "ExposureError";
}

export class Exposures {
  readonly #path: string;
  readonly #allowedHosts: ReadonlySet<string>;
  readonly #byId = new Map<string, Exposure>();
  readonly #now: () => number;

  /** `allowedHosts`: hosts other than this machine that its owner lets tunnels lead to. */
  constructor(path: string, allowedHosts: readonly string[], now: () => number = Date.now) {
    this.#path = path;
    this.#allowedHosts = new Set(allowedHosts.map((host) => host.toLowerCase()));
    this.#now = now;
  }

  /** Reads what an earlier daemon exposed. A file that cannot be read exposes nothing; why is returned. */
  load(): string | null {
    try {
      const text = readTextIfExists(this.#path);
      const found = text === null ? [] : z.array(Exposure).parse(JSON.parse(text));
      for (const exposure of found) this.#byId.set(exposure.tunnelId, exposure);
      return null;
    } catch (error) {
      return `${this.#path} cannot be read, so nothing is exposed: ${error instanceof Error ? error.message : error}`;
    }
  }

  /**
   * Exposes a port. When there is no room left, those that are not among `others` go: the hub closed them while this runner was
   * away. Not sooner, since what the hub said of others may be older than what it asked last. Throws ExposureError.
   */
  add(exposure: Exposure, others: readonly string[]): void {
    this.#forget(({ expiresAt }) => expiresAt !== null && expiresAt <= this.#now());
    if (this.#byId.size >= tunnelLimits.perRunner) this.#forget(({ tunnelId }) => !others.includes(tunnelId));
    const { host } = exposure;
    if (host !== null && !this.#allowedHosts.has(host.toLowerCase())) {
      throw new ExposureError(
        `this runner's tunnels lead to this machine only; to allow "${host}", start it with --tunnel-host ${host}`,
      );
    }
    if (!this.#byId.has(exposure.tunnelId) && this.#byId.size >= tunnelLimits.perRunner) {
      throw new ExposureError(`this runner exposes ${tunnelLimits.perRunner} ports already; close some`);
    }
    this.#byId.set(exposure.tunnelId, exposure);
    this.#save();
  }

  remove(tunnelId: string): void {
    if (this.#byId.delete(tunnelId)) this.#save();
  }

  /** Where a stream of this tunnel and port leads; null when that is not exposed (any more). */
  targetOf(tunnelId: string, port: number): LocalTarget | null {
    const exposure = this.#byId.get(tunnelId);
    if (exposure === undefined || exposure.port !== port) return null;
    if (exposure.expiresAt !== null && exposure.expiresAt <= this.#now()) return null;
    if (exposure.host === null) return { hostnames: ["127.0.0.1", "::1"], port };
    // Its owner may have taken the permission back since.
    return this.#allowedHosts.has(exposure.host.toLowerCase()) ? { hostnames: [exposure.host], port } : null;
  }

  list(): Exposure[] {
    return [...this.#byId.values()];
  }

  #forget(isOver: (exposure: Exposure) => boolean): void {
    for (const exposure of this.#byId.values()) if (isOver(exposure)) this.#byId.delete(exposure.tunnelId);
  }

  #save(): void {
    writeFileAtomic(this.#path, JSON.stringify(this.list(), null, 2) + "\n");
  }
}
