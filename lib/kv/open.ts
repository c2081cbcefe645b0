/** Opens the hub's database. */
import { dirname } from "node:path";
import { AckRelay } from "./ack_relay.ts";
import { waitWhenLocked } from "./locked.ts";
import { joinConnections } from "./remote.ts";

export interface OpenKvOptions {
  /** How many isolates of this process open the same file. With more than one their writes take turns. Default: 1. */
  isolates?: number;
}

/**
 * Opens Deno KV at `location`: a file path (embedded SQLite; its folder is made with mode 0700), ":memory:", an http(s)
 * URL of a KV Connect server (denokv; token in DENO_KV_ACCESS_TOKEN), or undefined for the platform's own database.
 * Operations wait while another isolate writes (locked.ts). Throws an Error that names the location and says what to do when it cannot be opened.
 */
export async function openKv(location?: string, options: OpenKvOptions = {}): Promise<Deno.Kv> {
  const isFile = location !== undefined && location !== ":memory:" && !/^https?:\/\//.test(location);
  try {
    if (isFile) await Deno.mkdir(dirname(location), { recursive: true, mode: 0o700 });
    const isShared = isFile && (options.isolates ?? 1) > 1;
    if (location?.startsWith("http://")) return await openThroughRelay(location);
    const kv = await Deno.openKv(location);
    // Inside TLS there is no room for a relay.
    if (location?.startsWith("https://")) return joinConnections(kv, await Deno.openKv(location));
    return waitWhenLocked(kv, isShared ? `perch-kv:${location}` : null);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const advice = isFile
      ? "choose another data directory or make this one writable"
      : "check that the KV server runs there and that DENO_KV_ACCESS_TOKEN is its token";
    throw new Error(`cannot open the database ${JSON.stringify(location ?? "(default)")}: ${reason}; ${advice}`, {
      cause: error,
    });
  }
}

/** Opens KV Connect without TLS through a relay of its own, which it closes with it. */
async function openThroughRelay(location: string): Promise<Deno.Kv> {
  const relay = new AckRelay(location);
  try {
    const { pathname } = new URL(location);
    const kv = await Deno.openKv(`http://127.0.0.1:${relay.port}${pathname}`);
    return new Proxy(kv, {
      get(target, name) {
        // Methods of the class behind Deno.Kv need the real object as `this`.
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (name !== "close") return member.bind(target);
        return () => {
          target.close();
          relay[Symbol.dispose]();
        };
      },
    });
  } catch (error) {
    relay[Symbol.dispose]();
    throw error;
  }
}
