/** Mailboxes in KV: posting parts to another isolate's, and reading one's own (design §6). */
import { deleteRange } from "@/lib/kv/delete.ts";
import { keys } from "@/lib/kv/keys.ts";
import { inlineBytes } from "@/lib/kv/packed.ts";

/** Bytes of parts in one commit: inside Deno KV's 800 KiB. */
const commitBytes = 600 * 1024;
/** Parts read at a time, and the most that are left undeleted. */
const drainParts = 200;
/**
 * Delivered parts are deleted with the next that this isolate posts, or after this while: a commit for every delivery would
 * double the writes, which SQLite serialises, and what is not deleted is read again with all that comes after it.
 */
const sweepMs = 50;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Messages on their way, or a piece of them: one row of a mailbox, or one message on a socket. */
export interface Part {
  to: string;
  /** Name of the way that it goes, and its number on it. */
  link: string;
  no: number;
  value: Uint8Array;
}

/** One way of messages to an isolate; numbers its parts so that the reader notices when one is missing. */
export class Link {
  readonly to: string;
  /** "<isolate>/<start>-<random>" */
  readonly name: string;
  #nextNo = 0;

  /** `startedAt` (ms) orders the links from one isolate to another: a newer one replaces the older. */
  constructor(from: string, to: string, startedAt: number) {
    this.to = to;
    this.name = `${from}/${startedAt.toString(36).padStart(10, "0")}-${crypto.randomUUID().slice(0, 8)}`;
  }

  /** Number of the next part. */
  get nextNo(): number {
    return this.#nextNo;
  }

  /** Packs messages (JSON texts) into parts under the row limit. */
  pack(messages: readonly string[]): Part[] {
    const json = encoder.encode(`[${messages.join(",")}]`);
    const parts: Part[] = [];
    for (let at = 0; at < json.length; at += inlineBytes) {
      const slice = json.subarray(at, at + inlineBytes);
      const value = new Uint8Array(slice.length + 1);
      value[0] = at + inlineBytes >= json.length ? 1 : 0;
      value.set(slice, 1);
      parts.push({ to: this.to, link: this.name, no: this.#nextNo++, value });
    }
    return parts;
  }
}

/**
 * Writes parts in order, in as few commits as fit, and removes `deletes` with the first; the same may be posted again after
 * an error.
 */
export async function post(
  kv: Deno.Kv,
  parts: readonly Part[],
  deletes: Iterable<Deno.KvKey> = [],
): Promise<void> {
  let from = 0;
  while (from < parts.length) {
    const atomic = kv.atomic();
    if (from === 0) { for (const key of deletes) atomic.delete(key); }
    const rung = new Set<string>();
    let bytes = 0;
    let to = from;
    for (; to < parts.length; to++) {
      const part = parts[to]!;
      bytes += part.value.length + 400;
      if (to > from && bytes > commitBytes) break;
      atomic.set(keys.mailbox.part(part.to, part.link, part.no), part.value);
      rung.add(part.to);
    }
    for (const isolateId of rung) atomic.sum(keys.mailbox.bell(isolateId), 1n);
    await atomic.commit();
    from = to;
  }
}

/** What a mailbox hands over: a batch of messages of one sender, or word that some were lost on the way. */
export type Arrival =
  | { from: string; bytes: number; messages: unknown[]; isNewLink: boolean }
  | { from: string; bytes: number; messages: null; isNewLink: boolean };

interface Sender {
  link: string;
  nextNo: number;
  /** Parts of a batch whose last is not here yet. */
  parts: Uint8Array[];
}

/** Reads what comes to this isolate, from its mailbox and over sockets. Whoever makes one disposes it. */
export class MailboxReader {
  #kv: Deno.Kv;
  #isolateId: string;
  #onError: (error: unknown) => void;
  #senders = new Map<string, Sender>();
  /** Parts that were delivered and are to be deleted, by sender's link and number. */
  #delivered = new Map<string, Deno.KvKey>();
  #sweepTimer: ReturnType<typeof setTimeout> | null = null;
  #sweeping: Promise<void> | null = null;

  constructor(kv: Deno.Kv, isolateId: string, onError: (error: unknown) => void) {
    this.#kv = kv;
    this.#isolateId = isolateId;
    this.#onError = onError;
  }

  /** Takes everything that is new in the mailbox, in order per sender. */
  async drain(deliver: (arrival: Arrival) => void): Promise<void> {
    for (;;) {
      const limit = this.#delivered.size + drainParts;
      let count = 0;
      const prefix = keys.mailbox.incoming(this.#isolateId);
      for await (const { key, value } of this.#kv.list<Uint8Array>({ prefix }, { limit, batchSize: limit })) {
        const name = `${String(key[3])} ${String(key[4])}`;
        if (this.#delivered.has(name)) continue;
        this.#delivered.set(name, key);
        this.take(key[3] as string, key[4] as number, value, deliver);
        count++;
      }
      if (this.#delivered.size >= drainParts) await this.#sweep();
      else if (count > 0) this.#sweepTimer ??= setTimeout(() => this.#sweep().catch(this.#onError), sweepMs);
      if (count < drainParts) return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer);
    await this.#sweeping?.catch(this.#onError);
  }

  /** Parts that were delivered and can be deleted along with what is posted, by name; `deleted` is to be told of them. */
  delivered(): ReadonlyMap<string, Deno.KvKey> {
    return new Map([...this.#delivered].slice(0, drainParts));
  }

  deleted(names: Iterable<string>): void {
    for (const name of names) this.#delivered.delete(name);
  }

  #sweep(): Promise<void> {
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer);
    this.#sweepTimer = null;
    return this.#sweeping ??= this.#deleteDelivered().finally(() => this.#sweeping = null);
  }

  async #deleteDelivered(): Promise<void> {
    const names = [...this.#delivered.keys()];
    for (let at = 0; at < names.length; at += 500) {
      const chunk = names.slice(at, at + 500);
      const atomic = this.#kv.atomic();
      for (const name of chunk) atomic.delete(this.#delivered.get(name)!);
      await atomic.commit();
      this.deleted(chunk);
    }
  }

  forget(isolateId: string): void {
    this.#senders.delete(isolateId);
  }

  /** All parts of a way before this number are taken, or will never be. */
  takenOf(linkName: string): number {
    const { from, link } = splitName(linkName);
    const sender = this.#senders.get(from);
    if (sender === undefined || link > sender.link) return 0;
    return link === sender.link ? sender.nextNo : Number.MAX_SAFE_INTEGER;
  }

  /** Takes a part, whichever way it came; one that was taken before is ignored. */
  take(linkName: string, no: number, value: Uint8Array, deliver: (arrival: Arrival) => void): void {
    const { from, link } = splitName(linkName);
    let sender = this.#senders.get(from);
    let isNewLink = false;
    if (!sender || link > sender.link) {
      sender = { link, nextNo: 0, parts: [] };
      this.#senders.set(from, sender);
      isNewLink = true;
    }
    // A link that was replaced, or a part that was posted again after an error and had arrived.
    if (link < sender.link || no < sender.nextNo) return;
    const bytes = value.length;
    if (no > sender.nextNo) {
      sender.parts = [];
      deliver({ from, bytes: 0, messages: null, isNewLink });
      isNewLink = false;
    }
    sender.nextNo = no + 1;
    sender.parts.push(value.subarray(1));
    if (value[0] !== 1) {
      deliver({ from, bytes, messages: [], isNewLink });
      return;
    }
    const text = sender.parts.length === 1 ? decoder.decode(sender.parts[0]) : decodeAll(sender.parts);
    sender.parts = [];
    let messages: unknown;
    try {
      messages = JSON.parse(text);
    } catch {
      // The first parts of this batch were lost.
      messages = null;
    }
    deliver({ from, bytes, messages: Array.isArray(messages) ? messages : null, isNewLink });
  }
}

function splitName(linkName: string): { from: string; link: string } {
  const at = linkName.indexOf("/");
  return { from: linkName.slice(0, at), link: linkName.slice(at + 1) };
}

function decodeAll(parts: readonly Uint8Array[]): string {
  const stream = new TextDecoder();
  let text = "";
  for (const part of parts) text += stream.decode(part, { stream: true });
  return text + stream.decode();
}

/** Removes an isolate's mailbox. */
export async function removeMailbox(kv: Deno.Kv, isolateId: string): Promise<void> {
  await deleteRange(kv, { prefix: keys.mailbox.all(isolateId) });
}
