/**
 * Tables on Deno KV: rows with unique and plain indexes that are kept in the same atomic commit as the row, so that no
 * reader finds one without the other and, of two writers who claim one unique value, exactly one wins.
 *
 *     auth row    <table> <id>                       → row
 *     auth unique <table> <field+field> <value…>     → id
 *     auth index  <table> <field> <value> <id>       → id
 */
import { arrange, type Condition, matches, type Row, type SortBy } from "./where.ts";

export interface TableSpec {
  /** Field sets whose values no two rows may share. Rows in which one of them is absent do not take part. */
  unique?: readonly (readonly string[])[];
  /** Fields that rows are looked up by besides. */
  indexes?: readonly string[];
  /** When KV may drop the row, ms since the epoch; null keeps it. KV is not punctual: readers still check. */
  dropAt?: (row: Row) => number | null;
}

/** A row and the version that a write checks. */
export interface Stored {
  row: Row;
  versionstamp: string;
}

/** A unique value is taken. */
export class UniqueError extends Error {
  override name = "UniqueError";
  constructor(readonly table: string, readonly fields: readonly string[]) {
    super(`A row of "${table}" with this ${fields.join(" and ")} exists already`);
  }
}

/** Attempts of a read-change-write under contention before it gives up loudly. */
const ATTEMPTS_MAX = 50;

export class Tables {
  readonly kv: Deno.Kv;
  readonly #specs: Readonly<Record<string, TableSpec>>;
  readonly #onRemoved: (table: string, row: Row) => void | Promise<void>;

  /** `onRemoved` runs after each committed removal of a row, whoever asked for it. */
  constructor(
    kv: Deno.Kv,
    specs: Readonly<Record<string, TableSpec>>,
    onRemoved: (table: string, row: Row) => void | Promise<void> = () => {},
  ) {
    this.kv = kv;
    this.#specs = specs;
    this.#onRemoved = onRemoved;
  }

  /** The row with this id, or null. */
  async get(table: string, id: string): Promise<Stored | null> {
    const entry = await this.kv.get<Row>(rowKey(table, id));
    return entry.versionstamp === null ? null : { row: entry.value, versionstamp: entry.versionstamp };
  }

  /** The rows that match, in no particular order. Uses an index where the clause allows one, else reads the table. */
  async select(table: string, where: readonly Condition[] = []): Promise<Stored[]> {
    const found: Stored[] = [];
    for await (const stored of this.#candidates(table, where)) {
      if (matches(stored.row, where)) found.push(stored);
    }
    return found;
  }

  /** The first row that matches, or null. */
  async selectOne(table: string, where: readonly Condition[]): Promise<Stored | null> {
    for await (const stored of this.#candidates(table, where)) {
      if (matches(stored.row, where)) return stored;
    }
    return null;
  }

  /** The rows that match, sorted and cut. */
  async find(
    table: string,
    where: readonly Condition[] = [],
    options: { sortBy?: SortBy; offset?: number; limit?: number } = {},
  ): Promise<Row[]> {
    return arrange((await this.select(table, where)).map((stored) => stored.row), options);
  }

  /** Adds a row. Throws {@linkcode UniqueError}. */
  async insert(table: string, row: Row): Promise<void> {
    if (await this.begin().insert(table, row).commit()) return;
    throw await this.conflict(table, row) ?? new UniqueError(table, ["id"]);
  }

  /**
   * Changes the first row that matches and returns it, or null when none does. The clause is checked again whenever
   * somebody else wrote in between, so it may serve as a guard. Throws {@linkcode UniqueError}.
   */
  async update(
    table: string,
    where: readonly Condition[],
    change: (row: Row) => Record<string, unknown>,
  ): Promise<Row | null> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const stored = await this.selectOne(table, where);
      if (stored === null) return null;
      const row: Row = { ...stored.row, ...change(stored.row), id: stored.row.id };
      if (await this.begin().replace(table, stored, row).commit()) return row;
      const conflict = await this.conflict(table, row);
      if (conflict !== null) throw conflict;
    }
    throw new Error(`A row of "${table}" is being written by too many at once; try again`);
  }

  /** Removes the first row that matches and returns it: of several callers exactly one gets the row, the others null. */
  async remove(table: string, where: readonly Condition[]): Promise<Row | null> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const stored = await this.selectOne(table, where);
      if (stored === null) return null;
      if (await this.begin().remove(table, stored).commit()) return stored.row;
    }
    throw new Error(`A row of "${table}" is being written by too many at once; try again`);
  }

  /** Starts a commit of several changes. */
  begin(): Commit {
    return new Commit(this.kv, this.#specs, this.#onRemoved);
  }

  /** Which unique value of `row` another row holds; null when none does. */
  async conflict(table: string, row: Row): Promise<UniqueError | null> {
    for (const { key, fields } of uniqueEntries(table, this.#specs[table], row)) {
      const owner = await this.kv.get<string>(key);
      if (owner.versionstamp !== null && owner.value !== row.id) return new UniqueError(table, fields);
    }
    return null;
  }

  async *#candidates(table: string, where: readonly Condition[]): AsyncGenerator<Stored> {
    const ids = await this.#idsByIndex(table, where);
    if (ids === null) {
      for await (const entry of this.kv.list<Row>({ prefix: ["auth", "row", table] })) {
        yield { row: entry.value, versionstamp: entry.versionstamp };
      }
      return;
    }
    for (const id of ids) {
      const stored = await this.get(table, id);
      if (stored !== null) yield stored;
    }
  }

  /** The only ids that can match, when an index tells; null when it does not. */
  async #idsByIndex(table: string, where: readonly Condition[]): Promise<string[] | null> {
    const fixed = new Map<string, string>();
    for (const { field, value, operator = "eq", connector, mode } of where) {
      if (connector === "OR" || operator !== "eq" || mode === "insensitive" || typeof value !== "string") continue;
      fixed.set(field, value);
    }
    const id = fixed.get("id");
    if (id !== undefined) return [id];
    const spec = this.#specs[table];
    for (const fields of spec?.unique ?? []) {
      const values = fields.map((field) => fixed.get(field)).filter((value) => value !== undefined);
      if (values.length < fields.length) continue;
      const owner = await this.kv.get<string>(["auth", "unique", table, fields.join("+"), ...values]);
      return owner.versionstamp === null ? [] : [owner.value];
    }
    for (const field of spec?.indexes ?? []) {
      const value = fixed.get(field);
      if (value === undefined) continue;
      const ids: string[] = [];
      const prefix = ["auth", "index", table, field, value];
      for await (const entry of this.kv.list<string>({ prefix })) ids.push(entry.value);
      return ids;
    }
    return null;
  }
}

/** Changes that are committed together or not at all. */
export class Commit {
  readonly #operation: Deno.AtomicOperation;
  readonly #specs: Readonly<Record<string, TableSpec>>;
  readonly #onRemoved: (table: string, row: Row) => void | Promise<void>;
  readonly #removed: { table: string; row: Row }[] = [];

  constructor(
    kv: Deno.Kv,
    specs: Readonly<Record<string, TableSpec>>,
    onRemoved: (table: string, row: Row) => void | Promise<void>,
  ) {
    this.#operation = kv.atomic();
    this.#specs = specs;
    this.#onRemoved = onRemoved;
  }

  /** Fails the commit unless the key is as it was read. */
  check(entry: Deno.AtomicCheck): this {
    this.#operation.check(entry);
    return this;
  }

  /** Sets a key that is no table's. */
  set(key: Deno.KvKey, value: unknown): this {
    this.#operation.set(key, value);
    return this;
  }

  /** Deletes a key that is no table's. */
  delete(key: Deno.KvKey): this {
    this.#operation.delete(key);
    return this;
  }

  /** Adds a row; the commit fails when its id or a unique value is taken. */
  insert(table: string, row: Row): this {
    const spec = this.#specs[table];
    const options = expiry(spec, row);
    this.#operation.check({ key: rowKey(table, row.id), versionstamp: null }).set(rowKey(table, row.id), row, options);
    for (const { key } of uniqueEntries(table, spec, row)) {
      this.#operation.check({ key, versionstamp: null }).set(key, row.id, options);
    }
    for (const key of indexKeys(table, spec, row)) this.#operation.set(key, row.id, options);
    return this;
  }

  /** Puts `next` in place of the row that was read; the commit fails when it changed since or a new unique value is taken. */
  replace(table: string, stored: Stored, next: Row): this {
    const spec = this.#specs[table];
    const options = expiry(spec, next);
    this.#operation.check({ key: rowKey(table, next.id), versionstamp: stored.versionstamp })
      .set(rowKey(table, next.id), next, options);
    const before = new Map(uniqueEntries(table, spec, stored.row).map(({ key }) => [JSON.stringify(key), key]));
    for (const { key } of uniqueEntries(table, spec, next)) {
      if (!before.delete(JSON.stringify(key))) this.#operation.check({ key, versionstamp: null });
      this.#operation.set(key, next.id, options);
    }
    for (const key of before.values()) this.#operation.delete(key);
    const indexed = new Map(indexKeys(table, spec, stored.row).map((key) => [JSON.stringify(key), key]));
    for (const key of indexKeys(table, spec, next)) {
      indexed.delete(JSON.stringify(key));
      this.#operation.set(key, next.id, options);
    }
    for (const key of indexed.values()) this.#operation.delete(key);
    return this;
  }

  /** Removes the row that was read; the commit fails when it changed since. */
  remove(table: string, stored: Stored): this {
    const spec = this.#specs[table];
    const key = rowKey(table, stored.row.id);
    this.#operation.check({ key, versionstamp: stored.versionstamp }).delete(key);
    for (const { key } of uniqueEntries(table, spec, stored.row)) this.#operation.delete(key);
    for (const key of indexKeys(table, spec, stored.row)) this.#operation.delete(key);
    this.#removed.push({ table, row: stored.row });
    return this;
  }

  /** Commits; false when a check failed, and then nothing happened. */
  async commit(): Promise<boolean> {
    const result = await this.#operation.commit();
    if (!result.ok) return false;
    for (const { table, row } of this.#removed) await this.#onRemoved(table, row);
    return true;
  }
}

function rowKey(table: string, id: string): Deno.KvKey {
  return ["auth", "row", table, id];
}

function uniqueEntries(
  table: string,
  spec: TableSpec | undefined,
  row: Row,
): { key: Deno.KvKey; fields: readonly string[] }[] {
  const entries: { key: Deno.KvKey; fields: readonly string[] }[] = [];
  for (const fields of spec?.unique ?? []) {
    const values = fields.map((field) => row[field]).filter((value) => typeof value === "string");
    if (values.length === fields.length) {
      entries.push({ key: ["auth", "unique", table, fields.join("+"), ...values], fields });
    }
  }
  return entries;
}

function indexKeys(table: string, spec: TableSpec | undefined, row: Row): Deno.KvKey[] {
  return (spec?.indexes ?? []).flatMap((field) => {
    const value = row[field];
    return typeof value === "string" ? [["auth", "index", table, field, value, row.id]] : [];
  });
}

function expiry(spec: TableSpec | undefined, row: Row): { expireIn?: number } {
  const dropAt = spec?.dropAt?.(row) ?? null;
  return dropAt === null ? {} : { expireIn: Math.max(1, dropAt - Date.now()) };
}
