/** Helpers of this folder's tests: a store on a real database, and registrations. */
import type { Event, MetaPatch, Register, RegisterRunner } from "@/protocol/mod.ts";
import { openKv } from "@/lib/kv/open.ts";
import { openSessionStore } from "./store.ts";
import type { ProducerLease, SessionStore } from "./types.ts";

export interface TestStore {
  kv: Deno.Kv;
  store: SessionStore;
  /** Isolates that count as alive. */
  live: Set<string>;
  clock: { now: number };
}

/** Runs `body` with a store on a database file of its own. */
export async function withStore(body: (test: TestStore) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  const kv = await openKv(`${dir}/hub.db`);
  const live = new Set(["iso"]);
  const clock = { now: 1_000_000 };
  const errors: unknown[] = [];
  const store = openSessionStore({
    kv,
    mesh: { isLive: (isolateId) => live.has(isolateId) },
    now: () => clock.now,
    onError: (error) => errors.push(error),
  });
  try {
    await body({ kv, store, live, clock });
  } finally {
    await store[Symbol.asyncDispose]();
    kv.close();
    await Deno.remove(dir, { recursive: true });
  }
  if (errors.length > 0) throw errors[0];
}

export function registerOf(sessionId: string, over: Partial<Register> = {}): Register {
  return {
    type: "register",
    protocolVersion: 1,
    sessionId,
    runnerId: "runner",
    logId: "log",
    lastSeq: 0,
    cwd: "/home/me/src",
    sessionName: null,
    agent: { id: "demo", name: "Demo", isDemo: true },
    startedAt: 500_000,
    ...over,
  };
}

export function runnerOf(runnerId: string, over: Partial<RegisterRunner> = {}): RegisterRunner {
  return {
    type: "register_runner",
    protocolVersion: 1,
    runnerId,
    name: `name of ${runnerId}`,
    roots: ["/home/me"],
    agents: [],
    version: "0.1.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
    ...over,
  };
}

export async function registered(store: SessionStore, userId: string, register: Register): Promise<ProducerLease> {
  const result = await store.log.register(userId, "iso", register);
  if (!result.ok) throw new Error(result.message);
  return result.lease;
}

export function entryEvent(lease: ProducerLease, seq: number, index: number, text: string, id = `e${index}`): Event {
  return {
    type: "event",
    sessionId: lease.sessionId,
    epoch: lease.epoch,
    seq,
    entry: {
      id,
      index,
      kind: "agent_message",
      head: { status: "completed", startedAt: 1, textLength: text.length },
      body: { text },
    },
  };
}

export function metaEvent(lease: ProducerLease, seq: number, meta: MetaPatch): Event {
  return { type: "event", sessionId: lease.sessionId, epoch: lease.epoch, seq, meta };
}

export async function allKeys(kv: Deno.Kv, prefix: Deno.KvKey = []): Promise<Deno.KvKey[]> {
  const found: Deno.KvKey[] = [];
  for await (const { key } of kv.list({ prefix })) found.push(key);
  return found;
}
