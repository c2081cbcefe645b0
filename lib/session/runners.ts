/** Runner rows: whose a runner is, what it said of itself, and whether its daemon is connected. */
import type { RegisterRunner, RunnerInfo } from "@/protocol/mod.ts";
import { deleteRange } from "@/lib/kv/delete.ts";
import { keys } from "@/lib/kv/keys.ts";
import { type BlobRef, dropBlob, encodeJson, pack, type Packed, readPacked } from "@/lib/kv/packed.ts";
import type { OwnerRow, ProducerRow, RunnerRow } from "./rows.ts";
import type { KvListStore } from "./session_list.ts";
import type { IsLive, StoreContext } from "./store.ts";
import { type RunnerLease, type RunnerStore, StaleEpochError } from "./types.ts";

const maxAttempts = 20;

const blobKeyOf = (runnerId: string) => (blob: string, part?: number) => keys.runner.blob(runnerId, blob, part);

/** Names of runners by id; those that do not exist are left out. */
export async function runnerNames(
  kv: Deno.Kv,
  userId: string,
  runnerIds: readonly string[],
): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  await Promise.all(runnerIds.map(async (runnerId) => {
    const row = await readPacked<RunnerRow>(kv, keys.runners.row(userId, runnerId), blobKeyOf(runnerId));
    if (row) names.set(runnerId, row.name);
  }));
  return names;
}

export class KvRunnerStore implements RunnerStore {
  #context: StoreContext;
  #sessions: KvListStore;

  constructor(context: StoreContext, sessions: KvListStore) {
    this.#context = context;
    this.#sessions = sessions;
  }

  async register(userId: string, isolateId: string, register: RegisterRunner): Promise<RunnerLease | null> {
    const { kv, now } = this.#context;
    const { runnerId, name, roots, agents, version, platform, warnings, terminals, tunnelHosts } = register;
    const said = { name, roots, agents, version, platform, warnings, terminals, tunnelHosts };
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [owner, old] = await kv.getMany<[OwnerRow, Packed]>([
        keys.runner.owner(runnerId),
        keys.runners.row(userId, runnerId),
      ]);
      if (owner.value && owner.value.userId !== userId) return null;
      const producerEpoch = (owner.value?.producerEpoch ?? 0) + 1;
      const row: RunnerRow = { ...said, registeredAt: now() };
      const producer: ProducerRow = { producerEpoch, isolateId, at: now() };
      const atomic = kv.atomic()
        .check(owner, old)
        .set(owner.key, { userId, producerEpoch } satisfies OwnerRow)
        .set(keys.runners.producer(userId, runnerId), producer);
      if ((await replaceRow(atomic, userId, runnerId, old.value, row).commit()).ok) {
        return { runnerId, userId, producerEpoch };
      }
    }
    throw new Error(`runner ${runnerId}: ${maxAttempts} registrations in a row were overtaken by others`);
  }

  /** See RunnerStore.update. Rejects with StaleEpochError when a newer registration exists. */
  async update(
    lease: RunnerLease,
    patch: Partial<Pick<RegisterRunner, "agents" | "roots" | "warnings" | "terminals">>,
  ): Promise<void> {
    const { kv } = this.#context;
    const { runnerId, userId } = lease;
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [owner, old] = await kv.getMany<[OwnerRow, Packed]>([
        keys.runner.owner(runnerId),
        keys.runners.row(userId, runnerId),
      ]);
      const row = await this.#row(userId, runnerId);
      if (owner.value?.producerEpoch !== lease.producerEpoch || !row) {
        throw new StaleEpochError(`runner ${runnerId}: a newer registration exists, or it was deleted`);
      }
      const { agents = row.agents, roots = row.roots, warnings = row.warnings, terminals = row.terminals } = patch;
      const atomic = kv.atomic().check(owner, old);
      const next = { ...row, agents, roots, warnings, terminals };
      if ((await replaceRow(atomic, userId, runnerId, old.value, next).commit()).ok) return;
    }
    throw new StaleEpochError(`runner ${runnerId}: ${maxAttempts} updates in a row were overtaken by others`);
  }

  async release(lease: RunnerLease): Promise<void> {
    const { kv, now } = this.#context;
    const owner = await kv.get<OwnerRow>(keys.runner.owner(lease.runnerId));
    if (owner.value?.producerEpoch !== lease.producerEpoch) return;
    const producer: ProducerRow = { producerEpoch: lease.producerEpoch, isolateId: null, at: now() };
    // A failed check: a newer registration came in between, and this disconnect means nothing.
    await kv.atomic().check(owner).set(keys.runners.producer(lease.userId, lease.runnerId), producer).commit();
  }

  async isolateOf(runnerId: string): Promise<string | null> {
    const { kv } = this.#context;
    const { value: owner } = await kv.get<OwnerRow>(keys.runner.owner(runnerId));
    if (!owner) return null;
    const { value } = await kv.get<ProducerRow>(keys.runners.producer(owner.userId, runnerId));
    if (value?.isolateId == null) return null;
    return (await this.#context.liveness())(value.isolateId) ? value.isolateId : null;
  }

  async info(userId: string, runnerId: string): Promise<RunnerInfo | null> {
    const { kv } = this.#context;
    const row = await this.#row(userId, runnerId);
    if (!row) return null;
    const { value: producer } = await kv.get<ProducerRow>(keys.runners.producer(userId, runnerId));
    const sessions = await this.#sessions.unendedByRunner(userId);
    const isLive = await this.#context.liveness();
    return this.#infoOf(runnerId, row, producer, sessions.get(runnerId)?.length ?? 0, isLive);
  }

  async list(userId: string): Promise<RunnerInfo[]> {
    const { kv } = this.#context;
    const runnerIds = new Set<string>();
    const producers = new Map<string, ProducerRow>();
    for await (const { key, value } of kv.list<unknown>({ prefix: keys.runners.user(userId) })) {
      if (key[3] === "producer") producers.set(key[2] as string, value as ProducerRow);
      else runnerIds.add(key[2] as string);
    }
    const sessions = runnerIds.size > 0 ? await this.#sessions.unendedByRunner(userId) : null;
    const isLive = await this.#context.liveness();
    const infos = await Promise.all([...runnerIds].map(async (runnerId) => {
      const row = await this.#row(userId, runnerId);
      const count = sessions?.get(runnerId)?.length ?? 0;
      return row && this.#infoOf(runnerId, row, producers.get(runnerId) ?? null, count, isLive);
    }));
    return infos.filter((info) => info !== null).sort((a, b) => a.name.localeCompare(b.name));
  }

  async liveSessionIds(userId: string, runnerId: string): Promise<string[]> {
    return [...(await this.#sessions.unendedByRunner(userId)).get(runnerId) ?? []];
  }

  async delete(userId: string, runnerId: string): Promise<boolean> {
    const { kv } = this.#context;
    for (;;) {
      const owner = await kv.get<OwnerRow>(keys.runner.owner(runnerId));
      if (owner.value?.userId !== userId) return false;
      if ((await kv.atomic().check(owner).delete(owner.key).commit()).ok) break;
    }
    await deleteRange(kv, { prefix: keys.runners.runner(userId, runnerId) });
    await deleteRange(kv, { prefix: keys.runner.all(runnerId) });
    return true;
  }

  #row(userId: string, runnerId: string): Promise<RunnerRow | null> {
    return readPacked<RunnerRow>(this.#context.kv, keys.runners.row(userId, runnerId), blobKeyOf(runnerId));
  }

  #infoOf(
    runnerId: string,
    row: RunnerRow,
    producer: ProducerRow | null,
    sessionCount: number,
    isLive: IsLive,
  ): RunnerInfo {
    const { registeredAt, terminals, ...said } = row;
    const isConnected = producer?.isolateId != null && isLive(producer.isolateId);
    const lastSeenAt = isConnected ? this.#context.now() : producer?.at ?? registeredAt;
    const info = { runnerId, ...said, sessionCount, isConnected, lastSeenAt };
    return isConnected && terminals !== undefined ? { ...info, terminals } : info;
  }
}

/** Adds the replacement of a runner's row to a commit. The schema bounds it to a few hundred KiB: one commit holds it. */
function replaceRow(
  atomic: Deno.AtomicOperation,
  userId: string,
  runnerId: string,
  old: Packed | null,
  row: RunnerRow,
): Deno.AtomicOperation {
  const blobKey = blobKeyOf(runnerId);
  const packed = pack(encodeJson(row), blobKey, "row");
  atomic.mutate({ type: "set", key: keys.runners.row(userId, runnerId), value: packed.value }, ...packed.parts);
  if (old && !(old instanceof Uint8Array)) atomic.mutate(...dropBlob(old satisfies BlobRef, blobKey));
  return atomic;
}
