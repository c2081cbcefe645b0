/** The session store over one Deno KV. */
import { keys } from "@/lib/kv/keys.ts";
import { KvWriter } from "@/lib/kv/writer.ts";
import type { IsolateRow } from "@/lib/mesh/lease.ts";
import { KvInboxStore } from "./inbox.ts";
import { KvLogStore } from "./log_store.ts";
import { KvRunnerStore } from "./runners.ts";
import { KvListStore } from "./session_list.ts";
import type { SessionStore } from "./types.ts";

/** Tells whether an isolate's lease is current. */
export type IsLive = (isolateId: string) => boolean;

/** What the parts of the store share. */
export interface StoreContext {
  kv: Deno.Kv;
  writer: KvWriter;
  now: () => number;
  retentionBytes: number;
  /** Which isolates are alive, as of now. */
  liveness(): Promise<IsLive> | IsLive;
  /** Work that nobody waits for; awaited on disposal, its errors reported. */
  inBackground(work: Promise<unknown>): void;
}

export interface SessionStoreOptions {
  kv: Deno.Kv;
  /** Who knows which isolates live (a Mesh). Without it the leases are read from KV each time. */
  mesh?: { isLive: IsLive };
  /** Bytes of entries that the hub keeps of one session; beyond it the oldest go. Default: 64 MiB. */
  retentionBytes?: number;
  /** Milliseconds since the Unix epoch; for tests. */
  now?: () => number;
  /** Told of failures in background work (removing what is unreachable). Default: console.error. */
  onError?: (error: unknown) => void;
}

/** Builds the store. Disposing it waits for what is on its way; the KV stays open, its opener closes it. */
export function openSessionStore(options: SessionStoreOptions): SessionStore {
  const { kv, mesh } = options;
  const now = options.now ?? Date.now;
  const onError = options.onError ?? ((error) => console.error("session store:", error));
  const writer = new KvWriter(kv);
  const background = new Set<Promise<void>>();
  const context: StoreContext = {
    kv,
    writer,
    now,
    retentionBytes: options.retentionBytes ?? 64 * 1024 * 1024,
    liveness: mesh ? () => (isolateId) => mesh.isLive(isolateId) : () => readLiveness(kv, now()),
    inBackground(work) {
      const tracked: Promise<void> = work.then(() => {}, onError).finally(() => background.delete(tracked));
      background.add(tracked);
    },
  };
  const sessions = new KvListStore(context);
  return {
    log: new KvLogStore(context),
    sessions,
    inbox: new KvInboxStore(context),
    runners: new KvRunnerStore(context, sessions),
    stats: () => ({ ...writer.counters, queuedBytes: writer.queuedBytes, queuedGroups: writer.queuedGroups }),
    async [Symbol.asyncDispose]() {
      await writer[Symbol.asyncDispose]();
      while (background.size > 0) await Promise.all(background);
    },
  };
}

async function readLiveness(kv: Deno.Kv, nowMs: number): Promise<IsLive> {
  const live = new Set<string>();
  for await (const { value } of kv.list<IsolateRow>({ prefix: keys.isolate.all() })) {
    if (value.expiresAt > nowMs) live.add(value.isolateId);
  }
  return (isolateId) => live.has(isolateId);
}
