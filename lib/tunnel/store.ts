/** Tunnels, tickets, grants and share links in KV. Secrets are stored as hashes only. */
import { scrypt, timingSafeEqual } from "node:crypto";
import { deleteRange } from "@/lib/kv/delete.ts";
import type { Principal } from "@/lib/principal.ts";
import { randomSecret, sha256 } from "@/lib/auth/secrets.ts";
import { type AccessEntry, tunnelLimits } from "@/protocol/tunnel.ts";
import { type GrantRow, type ShareRow, type TicketRow, tunnelKeys as keys, type TunnelRow } from "./rows.ts";

const LABEL_LETTERS = "abcdefghijklmnopqrstuvwxyz234567";

/** How long access logs are kept after the last request. */
const LOG_MS = 7 * 24 * 60 * 60 * 1000;

/** 26 letters of base 32: 130 random bits, a DNS label and a tunnel's id. */
export function randomLabel(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(26)), (byte) => LABEL_LETTERS[byte & 31]).join("");
}

export class TunnelStore {
  readonly #kv: Deno.Kv;
  readonly #now: () => number;

  constructor(kv: Deno.Kv, now: () => number = Date.now) {
    this.#kv = kv;
    this.#now = now;
  }

  /** The tunnel; null when there is none (any more). */
  async get(tunnelId: string): Promise<TunnelRow | null> {
    const { value } = await this.#kv.get<TunnelRow>(keys.row(tunnelId));
    return value === null || this.#isOver(value.expiresAt) ? null : value;
  }

  /** A user's tunnels, oldest first. */
  async list(userId: string): Promise<TunnelRow[]> {
    const rows: TunnelRow[] = [];
    for await (const { key } of this.#kv.list<string>({ prefix: keys.ofUser(userId) })) {
      const tunnelId = String(key.at(-1));
      const row = await this.get(tunnelId);
      if (row !== null) rows.push(row);
      else await this.delete(userId, tunnelId);
    }
    return rows.sort((a, b) => a.createdAt - b.createdAt);
  }

  async put(row: TunnelRow): Promise<void> {
    await this.#kv.atomic()
      .set(keys.row(row.tunnelId), row)
      .set(keys.index(row.userId, row.tunnelId), row.runnerId)
      .commit();
  }

  /** Closes it: nothing of it is left, no ticket, grant or share link works any more. */
  async delete(userId: string, tunnelId: string): Promise<void> {
    await this.#kv.atomic().delete(keys.row(tunnelId)).delete(keys.index(userId, tunnelId)).commit();
    await deleteRange(this.#kv, { prefix: keys.all(tunnelId) });
  }

  /** Makes a ticket: the secret lets its holder in once, within tunnelLimits.ticketMs. */
  async issueTicket(tunnelId: string, credential: Principal["credential"]): Promise<string> {
    const ticket = randomSecret();
    const row: TicketRow = { credential, expiresAt: this.#now() + tunnelLimits.ticketMs };
    await this.#kv.set(keys.ticket(tunnelId, sha256(ticket)), row, { expireIn: tunnelLimits.ticketMs });
    return ticket;
  }

  /** Uses a ticket up. Null: there is no such ticket (any more). */
  async takeTicket(tunnelId: string, ticket: string): Promise<TicketRow | null> {
    const entry = await this.#kv.get<TicketRow>(keys.ticket(tunnelId, sha256(ticket)));
    if (entry.value === null) return null;
    const { ok } = await this.#kv.atomic().check(entry).delete(entry.key).commit();
    return ok && !this.#isOver(entry.value.expiresAt) ? entry.value : null;
  }

  /** Admits a browser; the result is its cookie's value. */
  async grant(tunnelId: string, row: GrantRow): Promise<string> {
    const secret = randomSecret();
    await this.#kv.set(keys.grant(tunnelId, sha256(secret)), row, {
      expireIn: Math.max(1, row.expiresAt - this.#now()),
    });
    return secret;
  }

  async grantOf(tunnelId: string, secret: string): Promise<GrantRow | null> {
    const { value } = await this.#kv.get<GrantRow>(keys.grant(tunnelId, sha256(secret)));
    return value === null || this.#isOver(value.expiresAt) ? null : value;
  }

  async shares(tunnelId: string): Promise<ShareRow[]> {
    const rows: ShareRow[] = [];
    for await (const { value } of this.#kv.list<ShareRow>({ prefix: keys.shares(tunnelId) })) {
      if (!this.#isOver(value.expiresAt)) rows.push(value);
    }
    return rows.sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Makes a share link; `secret` is what the link holds, and is not kept. */
  async addShare(
    tunnelId: string,
    share: { name: string; ttlMs: number; password?: string },
  ): Promise<{ row: ShareRow; secret: string }> {
    const secret = randomSecret();
    const createdAt = this.#now();
    const row: ShareRow = {
      shareId: crypto.randomUUID(),
      name: share.name,
      hash: sha256(secret),
      passwordHash: share.password === undefined ? null : await hashPassword(share.password),
      createdAt,
      expiresAt: createdAt + share.ttlMs,
    };
    await this.#kv.set(keys.share(tunnelId, row.shareId), row, { expireIn: share.ttlMs });
    return { row, secret };
  }

  /** The share link with this secret; null when there is none (any more). */
  async shareOf(tunnelId: string, secret: string): Promise<ShareRow | null> {
    const hash = sha256(secret);
    return (await this.shares(tunnelId)).find((share) => share.hash === hash) ?? null;
  }

  async share(tunnelId: string, shareId: string): Promise<ShareRow | null> {
    const { value } = await this.#kv.get<ShareRow>(keys.share(tunnelId, shareId));
    return value === null || this.#isOver(value.expiresAt) ? null : value;
  }

  async deleteShare(tunnelId: string, shareId: string): Promise<boolean> {
    const entry = await this.#kv.get(keys.share(tunnelId, shareId));
    await this.#kv.delete(entry.key);
    return entry.value !== null;
  }

  async putLog(tunnelId: string, isolateId: string, entries: readonly AccessEntry[]): Promise<void> {
    await this.#kv.set(keys.log(tunnelId, isolateId), entries, { expireIn: LOG_MS });
  }

  /** What one isolate put last. */
  async logOf(tunnelId: string, isolateId: string): Promise<AccessEntry[]> {
    return (await this.#kv.get<AccessEntry[]>(keys.log(tunnelId, isolateId))).value ?? [];
  }

  /**
   * Requests on all isolates, newest first: those under way, then the newest of those that are over. `isLive`: whether an
   * isolate is there still; what was under way on another one is not any more.
   */
  async log(tunnelId: string, isLive: (isolateId: string) => boolean): Promise<AccessEntry[]> {
    const open: AccessEntry[] = [];
    const over: AccessEntry[] = [];
    for await (const { key, value } of this.#kv.list<AccessEntry[]>({ prefix: keys.logs(tunnelId) })) {
      const isThere = isLive(String(key.at(-1)));
      for (const entry of value) {
        if (entry.ms !== null) over.push(entry);
        else if (isThere) open.push(entry);
      }
    }
    const newest = (entries: AccessEntry[], count: number) => entries.sort((a, b) => b.at - a.at).slice(0, count);
    return [...newest(open, tunnelLimits.logOpenEntries), ...newest(over, tunnelLimits.logEntries)];
  }

  #isOver(expiresAt: number | null): boolean {
    return expiresAt !== null && expiresAt <= this.#now();
  }
}

async function hashPassword(password: string): Promise<string> {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  return `scrypt$${salt.toHex()}$${(await derive(password, salt)).toHex()}`;
}

/** Whether it is the password of this hash. */
export async function isPassword(password: string, stored: string): Promise<boolean> {
  const [, salt = "", hash = ""] = stored.split("$");
  const expected = Uint8Array.fromHex(hash);
  const given = await derive(password, Uint8Array.fromHex(salt));
  return expected.byteLength === given.byteLength && timingSafeEqual(expected, given);
}

function derive(password: string, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, 32, (error, key) => error === null ? resolve(key) : reject(error));
  });
}
