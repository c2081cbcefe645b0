/**
 * Group commit: many callers' mutations in few atomic commits. Embedded KV does ~4 k single sets a second but ~150 k keys
 * a second in commits of hundreds, so whoever writes often writes through this.
 */

/** Bounds of a combined commit, inside Deno KV's own (1,000 mutations, 800 KiB, 100 checks). */
const commitMutations = 500;
const commitBytes = 700 * 1024;
const commitChecks = 90;
/** A denokv server takes no more than this; the bound of the embedded database is ten times as high. */
const strictCommitChecks = 10;

/** Mutations that become visible together, if all `checks` hold. */
export interface WriteGroup {
  checks?: readonly Deno.AtomicCheck[];
  mutations: readonly Deno.KvMutation[];
  /**
   * Sets under fresh keys that only `mutations` make reachable (parts of blobs). When the group is too large for one
   * commit these go first, in several commits under the same checks, and `mutations` last and whole: a reader sees all of
   * the group or nothing; a crash between leaves unreachable parts, which go with their log or session.
   */
  parts?: readonly Deno.KvMutation[];
}

/** A check of the group did not hold; nothing reachable of it was written. Other groups are not affected. */
export class CheckFailedError extends Error {
  override name = "CheckFailedError";
}
/** The queue is at its bound: the database is slower than its callers. Nothing of the group was written. */
export class WriterFullError extends Error {
  override name = "WriterFullError";
}
/** The group's own mutations (without parts) do not fit into one commit. */
export class GroupTooLargeError extends Error {
  override name = "GroupTooLargeError";
}

interface Queued {
  checks: readonly Deno.AtomicCheck[];
  mutations: readonly Deno.KvMutation[];
  parts: readonly Deno.KvMutation[];
  bytes: number;
  partBytes: number;
  resolve(versionstamp: string): void;
  reject(error: unknown): void;
}

export interface KvWriterOptions {
  /** Bytes of mutations that may wait. */
  maxQueuedBytes?: number;
  /** Groups that may wait. */
  maxQueuedGroups?: number;
}

/** Approximate stored size of a key or value in bytes; exact for Uint8Array, an upper bound for what the hub's rows hold. */
export function storedBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength + 8;
  if (typeof value === "string") return value.length * 2 + 8;
  if (typeof value !== "object" || value === null) return 12;
  let bytes = 8;
  for (const [name, field] of Object.entries(value)) bytes += name.length * 2 + 8 + storedBytes(field);
  return bytes;
}

function mutationBytes(mutation: Deno.KvMutation): number {
  let bytes = 8;
  for (const part of mutation.key) bytes += storedBytes(part);
  return mutation.type === "delete" ? bytes : bytes + storedBytes(mutation.value);
}

function sumBytes(mutations: readonly Deno.KvMutation[]): number {
  let bytes = 0;
  for (const mutation of mutations) bytes += mutationBytes(mutation);
  return bytes;
}

export class KvWriter {
  #kv: Deno.Kv;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #maxQueuedBytes: number;
  #maxQueuedGroups: number;
  #running: Promise<void> | null = null;
  #closed = false;
  /** Checks in a combined commit: the strict bound once the database has refused more. */
  #maxChecks = commitChecks;
  /** Commits made so far and groups in them: what the batching gains. */
  readonly counters = { commits: 0, groups: 0, retriedAlone: 0 };

  constructor(kv: Deno.Kv, options: KvWriterOptions = {}) {
    this.#kv = kv;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? 64 * 1024 * 1024;
    this.#maxQueuedGroups = options.maxQueuedGroups ?? 50_000;
  }

  /** Bytes that wait for a commit now. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Groups that wait for a commit now. */
  get queuedGroups(): number {
    return this.#queue.length;
  }

  /**
   * Writes a group; resolves with the versionstamp of the commit that holds its `mutations`. Groups are committed in the
   * order of the calls. Rejects with CheckFailedError, WriterFullError, GroupTooLargeError or what Deno KV threw, in which
   * case (a lost connection) the group may or may not have been written.
   */
  write(group: WriteGroup): Promise<string> {
    if (this.#closed) return Promise.reject(new Error("the KV writer is closed"));
    const checks = group.checks ?? [];
    const parts = group.parts ?? [];
    const bytes = sumBytes(group.mutations);
    if (group.mutations.length > commitMutations || bytes > commitBytes || checks.length > commitChecks) {
      return Promise.reject(
        new GroupTooLargeError(
          `a group of ${group.mutations.length} mutations, ${checks.length} checks and ${bytes} bytes does not fit into ` +
            `one commit (${commitMutations} mutations, ${commitChecks} checks, ${commitBytes} bytes); split it`,
        ),
      );
    }
    const partBytes = sumBytes(parts);
    if (
      this.#queue.length >= this.#maxQueuedGroups ||
      (this.#queue.length > 0 && this.#queuedBytes + bytes + partBytes > this.#maxQueuedBytes)
    ) {
      return Promise.reject(
        new WriterFullError(
          `${this.#queue.length} groups of ${this.#queuedBytes} bytes wait for the database; it is too slow for this load`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ checks, mutations: group.mutations, parts, bytes, partBytes, resolve, reject });
      this.#queuedBytes += bytes + partBytes;
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  /** Waits until everything written so far is committed, then refuses more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // Callers of this tick have all queued by now; those that come during a commit share the next one.
    while (this.#queue.length > 0) {
      const first = this.#queue[0]!;
      const isAlone = first.parts.length + first.mutations.length > commitMutations ||
        first.bytes + first.partBytes > commitBytes;
      const groups = isAlone ? this.#queue.splice(0, 1) : this.#takeCombined();
      try {
        if (isAlone) await this.#commitLarge(first);
        else await this.#commitCombined(groups);
      } catch (error) {
        if (groups.length > 1 && this.#maxChecks > strictCommitChecks && isTooManyChecks(error)) {
          // Refused as a whole, so nothing was written: they go again, fewer at a time.
          this.#maxChecks = strictCommitChecks;
          this.#queue.unshift(...groups);
          continue;
        }
        for (const group of groups) group.reject(error);
      }
      for (const group of groups) this.#queuedBytes -= group.bytes + group.partBytes;
    }
    this.#running = null;
  }

  #takeCombined(): Queued[] {
    let count = 0;
    let mutations = 0;
    let bytes = 0;
    let checks = 0;
    const written = new WrittenKeys();
    for (const group of this.#queue) {
      mutations += group.mutations.length + group.parts.length;
      bytes += group.bytes + group.partBytes;
      checks += group.checks.length;
      if (count > 0 && (mutations > commitMutations || bytes > commitBytes || checks > this.#maxChecks)) break;
      // KV looks at all checks of a commit before any of its mutations: a group that checks what an earlier one writes
      // must see that written, so it waits for the next commit.
      if (group.checks.some(({ key }) => written.has(key))) break;
      written.add(group.mutations);
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #commitCombined(groups: Queued[]): Promise<void> {
    const versionstamp = await this.#commit(groups);
    if (versionstamp !== null) {
      for (const group of groups) group.resolve(versionstamp);
      return;
    }
    if (groups.length === 1) {
      groups[0]!.reject(checkFailed(groups[0]!));
      return;
    }
    // One stale fence fails the whole commit: alone, only the group that carries it fails.
    for (const group of groups) {
      this.counters.retriedAlone++;
      try {
        const alone = await this.#commit([group]);
        if (alone === null) group.reject(checkFailed(group));
        else group.resolve(alone);
      } catch (error) {
        group.reject(error);
      }
    }
  }

  /** Parts first, in as many commits as they need, then the mutations that make them reachable. */
  async #commitLarge(group: Queued): Promise<void> {
    let from = 0;
    while (from < group.parts.length) {
      let to = from;
      let bytes = 0;
      while (to < group.parts.length && to - from < commitMutations) {
        bytes += mutationBytes(group.parts[to]!);
        if (to > from && bytes > commitBytes) break;
        to++;
      }
      if (await this.#commit([{ ...group, mutations: group.parts.slice(from, to), parts: [] }]) === null) {
        await this.#removeParts(group, from);
        group.reject(checkFailed(group));
        return;
      }
      from = to;
    }
    const versionstamp = await this.#commit([{ ...group, parts: [] }]);
    if (versionstamp === null) {
      await this.#removeParts(group, group.parts.length);
      group.reject(checkFailed(group));
    } else group.resolve(versionstamp);
  }

  /** Takes back the first `count` parts of a group that failed its checks on the way. */
  async #removeParts(group: Queued, count: number): Promise<void> {
    for (let from = 0; from < count; from += commitMutations) {
      const atomic = this.#kv.atomic();
      for (const part of group.parts.slice(from, Math.min(count, from + commitMutations))) atomic.delete(part.key);
      await atomic.commit();
    }
  }

  async #commit(groups: readonly Queued[]): Promise<string | null> {
    const atomic = this.#kv.atomic();
    for (const group of groups) {
      if (group.checks.length > 0) atomic.check(...group.checks);
      if (group.parts.length > 0) atomic.mutate(...group.parts);
      atomic.mutate(...group.mutations);
    }
    const result = await atomic.commit();
    this.counters.commits++;
    this.counters.groups += groups.length;
    return result.ok ? result.versionstamp : null;
  }
}

/** Keys that a combined commit writes so far, by their last part: the comparison of whole keys is for a few. */
class WrittenKeys {
  #byLastPart = new Map<Deno.KvKeyPart | undefined, Deno.KvKey[]>();

  add(mutations: readonly Deno.KvMutation[]): void {
    for (const { key } of mutations) {
      const keys = this.#byLastPart.get(key.at(-1));
      if (keys) keys.push(key);
      else this.#byLastPart.set(key.at(-1), [key]);
    }
  }

  has(key: Deno.KvKey): boolean {
    return this.#byLastPart.get(key.at(-1))?.some((written) => isSameKey(written, key)) ?? false;
  }
}

function isSameKey(a: Deno.KvKey, b: Deno.KvKey): boolean {
  return a.length === b.length && a.every((part, at) => part === b[at]);
}

/** Whether the database refused a commit because of the number of its checks. KV Connect tells it in words only. */
function isTooManyChecks(error: unknown): boolean {
  return error instanceof Error && /too many checks/i.test(error.message);
}

function checkFailed(group: Queued): CheckFailedError {
  return new CheckFailedError(
    `the row ${group.checks.map((check) => JSON.stringify(check.key)).join(" or ")} was changed by someone else`,
  );
}
