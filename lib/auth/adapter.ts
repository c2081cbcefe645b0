/** better-auth's database adapter on our tables, through its public `createAdapterFactory`. */
import { createAdapterFactory } from "better-auth/adapters";
import { sha256 } from "./secrets.ts";
import type { Tables } from "./tables.ts";
import { type Condition, matches, type Row } from "./where.ts";

/**
 * Fields that are secrets: stored as SHA-256 only. Whoever asks for a row by such a field gets back the value that it
 * asked with; anybody else gets the hash. So a copy of the database holds no session token.
 */
const SEALED: Readonly<Record<string, readonly string[]>> = { session: ["token"] };
/** Rounds of a bulk change that keeps meeting concurrent writers. */
const BULK_ROUNDS_MAX = 50;

/**
 * Makes the `database` option of better-auth. Unique: user.email, session.token, account by provider and account id
 * (as the tables say). `consumeOne` and `incrementOne` are native: one caller wins, guards hold under contention.
 * There are no transactions: what must be atomic across tables is written by `accounts.ts` in one commit.
 */
export function kvAdapter(tables: Tables) {
  return createAdapterFactory({
    config: {
      adapterId: "deno-kv",
      adapterName: "Deno KV",
      supportsDates: true,
      supportsBooleans: true,
      supportsJSON: true,
      supportsArrays: true,
      supportsNumericIds: false,
      transaction: false,
    },
    adapter: () => ({
      create: async <T extends Record<string, unknown>>({ model, data }: { model: string; data: T }): Promise<T> => {
        await tables.insert(model, asRow(model, seal(model, data)));
        return data;
      },
      findOne: async <T>(request: { model: string; where: Condition[]; select?: string[] }): Promise<T | null> => {
        const where = sealWhere(request.model, request.where);
        const stored = await tables.selectOne(request.model, where);
        return stored === null ? null : output<T>(request, stored.row, request.select);
      },
      findMany: async <T>(
        request: {
          model: string;
          where?: Condition[];
          limit: number;
          offset?: number;
          sortBy?: { field: string; direction: "asc" | "desc" };
          select?: string[];
        },
      ): Promise<T[]> => {
        const { model, where = [], limit, offset, sortBy, select } = request;
        const rows = await tables.find(model, sealWhere(model, where), { limit, offset, sortBy });
        return rows.map((row) => output<T>({ model, where }, row, select));
      },
      count: async ({ model, where = [] }: { model: string; where?: Condition[] }) =>
        (await tables.select(model, sealWhere(model, where))).length,
      update: async <T>(request: { model: string; where: Condition[]; update: T }): Promise<T | null> => {
        if (request.where.length === 0) return null;
        const change = seal(request.model, asRecord(request.update));
        const row = await tables.update(request.model, sealWhere(request.model, request.where), () => change);
        return row === null ? null : output<T>(request, row);
      },
      updateMany: async ({ model, where, update }) => {
        const change = seal(model, asRecord(update));
        return await forEach(
          tables,
          model,
          sealWhere(model, where),
          (stored) => tables.begin().replace(model, stored, { ...stored.row, ...change, id: stored.row.id }),
          change,
        );
      },
      delete: async ({ model, where }) => {
        if (where.length > 0) await tables.remove(model, sealWhere(model, where));
      },
      deleteMany: ({ model, where }) =>
        forEach(tables, model, sealWhere(model, where), (stored) => tables.begin().remove(model, stored)),
      consumeOne: async <T>(request: { model: string; where: Condition[] }): Promise<T | null> => {
        const row = await tables.remove(request.model, sealWhere(request.model, request.where));
        return row === null ? null : output<T>(request, row);
      },
      incrementOne: async <T>(
        request: {
          model: string;
          where: Condition[];
          increment: Record<string, number>;
          set?: Record<string, unknown>;
        },
      ): Promise<T | null> => {
        const { model, where, increment, set = {} } = request;
        const row = await tables.update(model, sealWhere(model, where), (current) => ({
          ...seal(model, set),
          ...Object.fromEntries(
            Object.entries(increment).map(([field, delta]) => {
              const value = current[field] ?? 0;
              if (typeof value !== "number") throw new TypeError(`${model}.${field} is not a number`);
              return [field, value + delta];
            }),
          ),
        }));
        return row === null ? null : output<T>(request, row);
      },
    }),
  });
}

/**
 * Commits a change for every row that matches and counts them. A row that somebody else wrote in between is judged
 * again. Throws `UniqueError` where `change` would give a row a unique value that is taken.
 */
async function forEach(
  tables: Tables,
  model: string,
  where: readonly Condition[],
  stage: (stored: { row: Row; versionstamp: string }) => { commit(): Promise<boolean> },
  change: Record<string, unknown> = {},
): Promise<number> {
  let count = 0;
  for (const { row: { id } } of await tables.select(model, where)) {
    for (let round = 0;; round++) {
      const stored = await tables.get(model, id);
      if (stored === null || !matches(stored.row, where)) break;
      if (await stage(stored).commit()) {
        count++;
        break;
      }
      const conflict = await tables.conflict(model, { ...stored.row, ...change, id });
      if (conflict !== null) throw conflict;
      if (round >= BULK_ROUNDS_MAX) {
        throw new Error(`A row of "${model}" is being written by too many at once; try again`);
      }
    }
  }
  return count;
}

/** How a sealed field is stored. */
export function sealed(secret: string): string {
  return `sha256:${sha256(secret)}`;
}

function sealValue(value: unknown): unknown {
  return typeof value === "string" ? sealed(value) : value;
}

function seal(model: string, data: Record<string, unknown>): Record<string, unknown> {
  const copy = { ...data };
  for (const field of SEALED[model] ?? []) {
    if (field in copy) copy[field] = sealValue(copy[field]);
  }
  return copy;
}

function sealWhere(model: string, where: readonly Condition[]): Condition[] {
  return where.map((condition) => {
    if (!SEALED[model]?.includes(condition.field)) return condition;
    const { value } = condition;
    return { ...condition, value: Array.isArray(value) ? value.map(sealValue) : sealValue(value) };
  });
}

/** A row as better-auth gets it: secrets that it named itself are put back in clear; only `select`ed fields. */
function output<T>(request: { model: string; where: Condition[] }, row: Row, select?: string[]): T {
  const clear: Record<string, unknown> = { ...row };
  for (const { field, value } of request.where) {
    if (!SEALED[request.model]?.includes(field)) continue;
    for (const candidate of Array.isArray(value) ? value : [value]) {
      if (sealValue(candidate) === row[field]) clear[field] = candidate;
    }
  }
  if (select === undefined || select.length === 0) return clear as T;
  return Object.fromEntries(Object.entries(clear).filter(([field]) => select.includes(field))) as T;
}

function asRow(model: string, data: Record<string, unknown>): Row {
  const { id } = data;
  if (typeof id !== "string") throw new TypeError(`A row of "${model}" must have a string id`);
  return { ...data, id };
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
