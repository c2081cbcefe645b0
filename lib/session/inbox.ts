/** Commands that wait for a session host or a runner, and what became of them (design §5). */
import { type CommandStatus, type DeliveredCommand, limits } from "@/protocol/mod.ts";
import { keys } from "@/lib/kv/keys.ts";
import { decodeJson, dropBlob, encodeJson, pack, type Packed, unpack } from "@/lib/kv/packed.ts";
import { CheckFailedError } from "@/lib/kv/writer.ts";
import { InboxTargetError } from "./errors.ts";
import { removeOrphans } from "./orphans.ts";
import type { OwnerRow } from "./rows.ts";
import type { StoreContext } from "./store.ts";
import { InboxFullError, type InboxStore, type InboxTarget } from "./types.ts";

/** How long a settled op is remembered, so that asking again (or storing it again) is answered with its outcome. */
const settledMs = 24 * 60 * 60 * 1000;
const maxAttempts = 50;
/** Deno KV's bound of a getMany. */
const maxKeysOfGet = 10;

interface InboxHead {
  nextNo: number;
  waiting: number;
}

interface OpRow {
  status: CommandStatus["status"];
  reason?: string;
  sessionId?: string;
  from: string;
  /** When it was put or settled, in ms. */
  at: number;
  /** Number of its waiting row. */
  no: number;
  userId: string;
}

type Receipt = "applied" | "rejected" | "expired";

export class KvInboxStore implements InboxStore {
  #context: StoreContext;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  async put(target: InboxTarget, userId: string, command: DeliveredCommand): Promise<CommandStatus> {
    const { kv, now, writer } = this.#context;
    const { kind, id, blobKey } = partsOf(target);
    const opKey = keys.inbox.op(kind, id, command.op);
    const ownerKey = kind === "session" ? keys.session.owner(id) : keys.runner.owner(id);
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [owner, op, head] = await kv.getMany<[OwnerRow, OpRow, InboxHead]>([
        ownerKey,
        opKey,
        keys.inbox.head(kind, id),
      ]);
      if (op.value) return await this.#statusOf(target, command.op, op.value);
      if (!owner.value || owner.value.isDeleting) throw new InboxTargetError(`there is no ${kind} ${id}`);
      const { nextNo, waiting } = head.value ?? { nextNo: 1, waiting: 0 };
      if (waiting >= limits.inboxCommands) {
        // Some of them may be past their time.
        if ((await this.pending(target)).length < waiting) continue;
        throw new InboxFullError(
          `${waiting} commands wait for ${kind} ${id}, the most that may; wait for it to connect, or let them expire`,
        );
      }
      const packed = pack(encodeJson(command), blobKey, nextNo);
      const row: OpRow = {
        status: "accepted",
        from: command.from,
        at: now(),
        no: nextNo,
        userId,
        ...(command.sessionId === undefined ? {} : { sessionId: command.sessionId }),
      };
      try {
        await writer.write({
          checks: [owner, op, head].map(({ key, versionstamp }) => ({ key, versionstamp })),
          parts: packed.parts,
          mutations: [
            { type: "set", key: opKey, value: row },
            { type: "set", key: keys.inbox.waiting(kind, id, nextNo), value: packed.value },
            { type: "set", key: keys.inbox.head(kind, id), value: { nextNo: nextNo + 1, waiting: waiting + 1 } },
          ],
        });
        return statusFrom(command.op, row, command);
      } catch (error) {
        if (!(error instanceof CheckFailedError)) throw error;
      }
    }
    throw new Error(`inbox of ${kind} ${id}: ${maxAttempts} attempts were overtaken by others`);
  }

  async pending(target: InboxTarget): Promise<DeliveredCommand[]> {
    const { kv, now } = this.#context;
    const { kind, id, blobKey } = partsOf(target);
    const commands: DeliveredCommand[] = [];
    const prefix = keys.inbox.waitingAll(kind, id);
    for await (const { value } of kv.list<Packed>({ prefix }, { batchSize: limits.inboxCommands })) {
      const bytes = await unpack(kv, value, blobKey);
      if (bytes === null) continue; // settled meanwhile
      const command = decodeJson<DeliveredCommand>(bytes);
      if (command.expiresAt > now()) commands.push(command);
      else await this.settle(target, command.op, "expired", "its runner did not connect in time");
    }
    return commands;
  }

  async waiting(targets: readonly InboxTarget[]): Promise<InboxTarget[]> {
    const found: InboxTarget[] = [];
    for (let at = 0; at < targets.length; at += maxKeysOfGet) {
      const some = targets.slice(at, at + maxKeysOfGet);
      const heads = await this.#context.kv.getMany<InboxHead[]>(some.map((target) => {
        const { kind, id } = partsOf(target);
        return keys.inbox.head(kind, id);
      }));
      found.push(...some.filter((_, i) => (heads[i]!.value?.waiting ?? 0) > 0));
    }
    return found;
  }

  async settle(target: InboxTarget, op: string, status: Receipt, reason?: string): Promise<CommandStatus | null> {
    const { kv, now } = this.#context;
    const { kind, id, blobKey } = partsOf(target);
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const [opRow, head] = await kv.getMany<[OpRow, InboxHead]>([
        keys.inbox.op(kind, id, op),
        keys.inbox.head(kind, id),
      ]);
      if (!opRow.value || opRow.value.status !== "accepted" || !head.value) return null;
      const waitingKey = keys.inbox.waiting(kind, id, opRow.value.no);
      const { value: packed } = await kv.get<Packed>(waitingKey);
      const settled: OpRow = {
        ...opRow.value,
        status,
        at: now(),
        ...(reason === undefined ? {} : { reason: reason.slice(0, 2_000) }),
      };
      const atomic = kv.atomic()
        .check(opRow, head)
        .set(opRow.key, settled, { expireIn: settledMs })
        .set(head.key, { ...head.value, waiting: Math.max(0, head.value.waiting - 1) })
        .delete(waitingKey);
      if (packed && !(packed instanceof Uint8Array)) atomic.mutate(...dropBlob(packed, blobKey));
      if ((await atomic.commit()).ok) return statusFrom(op, settled);
    }
    throw new Error(`inbox of ${kind} ${id}: ${maxAttempts} attempts were overtaken by others`);
  }

  async withdraw(target: InboxTarget, sessionId: string): Promise<void> {
    const { kv } = this.#context;
    const { kind, id, blobKey } = partsOf(target);
    for (const { op, command } of await this.pending(target)) {
      if (!("sessionId" in command) || command.sessionId !== sessionId) continue;
      for (let attempt = 0; attempt < maxAttempts; attempt++) {
        const [row, head] = await kv.getMany<[OpRow, InboxHead]>([
          keys.inbox.op(kind, id, op),
          keys.inbox.head(kind, id),
        ]);
        if (row.value?.status !== "accepted" || !head.value) break;
        const waitingKey = keys.inbox.waiting(kind, id, row.value.no);
        const { value: packed } = await kv.get<Packed>(waitingKey);
        const atomic = kv.atomic()
          .check(row, head)
          .delete(row.key)
          .set(head.key, { ...head.value, waiting: Math.max(0, head.value.waiting - 1) })
          .delete(waitingKey);
        if (packed && !(packed instanceof Uint8Array)) atomic.mutate(...dropBlob(packed, blobKey));
        if ((await atomic.commit()).ok) break;
      }
    }
  }

  async sweep(target: InboxTarget): Promise<{ puts: number; isEmpty: boolean }> {
    const { kv, now } = this.#context;
    const { kind, id, blobKey } = partsOf(target);
    const headKey = keys.inbox.head(kind, id);
    const { value: head } = await kv.get<InboxHead>(headKey);
    if (!head) return { puts: 0, isEmpty: true };
    if (head.waiting > 0) await this.pending(target);
    let left = 0;
    const stale: Deno.KvKey[] = [];
    for await (const { key, value } of kv.list<OpRow>({ prefix: keys.inbox.ops(kind, id) }, { batchSize: 500 })) {
      if (value.status !== "accepted" && value.at + settledMs <= now()) stale.push(key);
      else left++;
    }
    // A settled op never changes again, so nothing has to be checked.
    for (let at = 0; at < stale.length; at += 500) {
      const atomic = kv.atomic();
      for (const key of stale.slice(at, at + 500)) atomic.delete(key);
      await atomic.commit();
    }
    await removeOrphans(kv, {
      blobs: blobKey,
      fence: headKey,
      refOf: async (owner) => (await kv.get<Packed>(keys.inbox.waiting(kind, id, Number(owner)))).value,
    });
    return { puts: head.nextNo - 1, isEmpty: left === 0 };
  }

  async status(target: InboxTarget, op: string): Promise<CommandStatus | null> {
    const { kind, id } = partsOf(target);
    const { value } = await this.#context.kv.get<OpRow>(keys.inbox.op(kind, id, op));
    return value && await this.#statusOf(target, op, value);
  }

  async #statusOf(target: InboxTarget, op: string, row: OpRow): Promise<CommandStatus> {
    if (row.status !== "accepted") return statusFrom(op, row);
    const { kv, now } = this.#context;
    const { kind, id, blobKey } = partsOf(target);
    const { value } = await kv.get<Packed>(keys.inbox.waiting(kind, id, row.no));
    const bytes = value && await unpack(kv, value, blobKey);
    if (!bytes) return statusFrom(op, row); // settled meanwhile
    const command = decodeJson<DeliveredCommand>(bytes);
    if (command.expiresAt > now()) return statusFrom(op, row, command);
    return await this.settle(target, op, "expired", "its runner did not connect in time") ?? statusFrom(op, row);
  }
}

function partsOf(target: InboxTarget) {
  const at = target.indexOf(":");
  const kind = target.slice(0, at);
  const id = target.slice(at + 1);
  return { kind, id, blobKey: (blob: string, part?: number) => keys.inbox.blob(kind, id, blob, part) };
}

function statusFrom(op: string, row: OpRow, command?: DeliveredCommand): CommandStatus {
  return {
    type: "command_status",
    op,
    status: row.status,
    from: row.from,
    at: row.at,
    ...(row.sessionId === undefined ? {} : { sessionId: row.sessionId }),
    ...(row.reason === undefined ? {} : { reason: row.reason }),
    ...(command === undefined ? {} : { command: withoutFiles(command.command) }),
  };
}

/** The command as it is shown while it waits: attachments by name, without what is in them. */
export function withoutFiles(command: DeliveredCommand["command"]): DeliveredCommand["command"] {
  if (command.kind !== "prompt" || command.attachments === undefined) return command;
  return { ...command, attachments: command.attachments.map(({ data: _, ...named }) => named) };
}
