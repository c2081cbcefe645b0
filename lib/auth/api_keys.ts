/** API keys: what runners and scripts send as `Authorization: Bearer`. */
import * as z from "zod";
import { AuthError } from "./errors.ts";
import { randomSecret, sha256 } from "./secrets.ts";
import type { Commit, Tables } from "./tables.ts";

export const KEY_PREFIX = "perch_";
/** Keys of one user. */
export const KEYS_MAX = 100;
export const KEY_NAME_MAX = 100;
export const KEY_DAYS_MAX = 3_650;
/** `lastUsedAt` is written at most this often. */
const LAST_USED_EVERY_MS = 60_000;
/** Characters of a key that lists show. */
const SHOWN_CHARS = 12;
const DAY_MS = 24 * 60 * 60 * 1000;

/** A key as lists show it. Times in ms since the epoch. */
export interface ApiKeyInfo {
  id: string;
  name: string;
  /** How the key begins, to recognise it by. */
  prefix: string;
  createdAt: number;
  /** To the minute; null: never used. */
  lastUsedAt: number | null;
  /** Null: never. */
  expiresAt: number | null;
}

const KeyRow = z.object({
  id: z.string(),
  userId: z.string(),
  name: z.string(),
  prefix: z.string(),
  createdAt: z.number(),
  lastUsedAt: z.number().nullable(),
  expires: z.number().nullable(),
});

export class ApiKeys {
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** Makes a key. It is returned in clear this once. Errors: `invalid_field` (400), `too_many` (409). */
  async create(
    userId: string,
    options: { name: string; expiresInDays?: number },
  ): Promise<{ id: string; name: string; key: string }> {
    await this.ensureRoom(userId);
    const commit = this.#tables.begin();
    const made = this.stage(commit, userId, options);
    if (!await commit.commit()) throw new Error("The id or the hash of a new API key is taken, which cannot happen");
    return made;
  }

  /** Throws `too_many` (409) when the user has as many keys as one may. */
  async ensureRoom(userId: string): Promise<void> {
    if ((await this.#tables.select("apiKey", [{ field: "userId", value: userId }])).length < KEYS_MAX) return;
    throw new AuthError(409, "too_many", `There are ${KEYS_MAX} API keys already; revoke one first`);
  }

  /** Adds a new key to a commit, so that what entitles to it can be used up in the same one. */
  stage(
    commit: Commit,
    userId: string,
    options: { name: string; expiresInDays?: number },
  ): { id: string; name: string; key: string } {
    const name = options.name.trim();
    if (name === "" || [...name].length > KEY_NAME_MAX || /\p{Cc}/u.test(name)) {
      const message = `The name must have 1 to ${KEY_NAME_MAX} characters on one line`;
      throw new AuthError(400, "invalid_field", message, { field: "name" });
    }
    const { expiresInDays } = options;
    if (expiresInDays !== undefined && !(expiresInDays > 0 && expiresInDays <= KEY_DAYS_MAX)) {
      const message = `expiresInDays must be a number above 0 and at most ${KEY_DAYS_MAX}`;
      throw new AuthError(400, "invalid_field", message, { field: "expiresInDays" });
    }
    const key = `${KEY_PREFIX}${randomSecret()}`;
    const id = crypto.randomUUID();
    const createdAt = Date.now();
    commit.insert("apiKey", {
      id,
      userId,
      name,
      hash: sha256(key),
      prefix: key.slice(0, SHOWN_CHARS),
      createdAt,
      lastUsedAt: null,
      expires: expiresInDays === undefined ? null : createdAt + Math.ceil(expiresInDays * DAY_MS),
    });
    return { id, name, key };
  }

  /** The user's keys, newest first, expired ones included. */
  async list(userId: string): Promise<ApiKeyInfo[]> {
    const rows = await this.#tables.find("apiKey", [{ field: "userId", value: userId }], {
      sortBy: { field: "createdAt", direction: "desc" },
    });
    return rows.map((row) => KeyRow.parse(row)).map(({ id, name, prefix, createdAt, lastUsedAt, expires }) => ({
      id,
      name,
      prefix,
      createdAt,
      lastUsedAt,
      expiresAt: expires,
    }));
  }

  /** Revokes one of the user's keys. Error: `not_found` (404). */
  async revoke(userId: string, keyId: string): Promise<void> {
    const where = [{ field: "id", value: keyId }, { field: "userId", value: userId }];
    if (await this.#tables.remove("apiKey", where) !== null) return;
    throw new AuthError(404, "not_found", "There is no such API key of yours");
  }

  /** Whose key this is; null when it is unknown, revoked or expired. Notes its use. */
  async verify(key: string): Promise<{ keyId: string; userId: string; expiresAt: number | null } | null> {
    const stored = await this.#tables.selectOne("apiKey", [{ field: "hash", value: sha256(key) }]);
    if (stored === null) return null;
    const { id, userId, expires, lastUsedAt } = KeyRow.parse(stored.row);
    const now = Date.now();
    if (expires !== null && expires <= now) return null;
    if (lastUsedAt === null || lastUsedAt <= now - LAST_USED_EVERY_MS) {
      const next = { ...stored.row, lastUsedAt: now };
      // When the row changed in between, another use was noted or the key was revoked.
      const isNoted = await this.#tables.begin().replace("apiKey", stored, next).commit();
      if (!isNoted && await this.#tables.get("apiKey", id) === null) return null;
    }
    return { keyId: id, userId, expiresAt: expires };
  }
}
