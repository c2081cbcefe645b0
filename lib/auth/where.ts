/** Where clauses, sorting and paging over rows in memory: what a SQL database does for better-auth's other adapters. */

/** One stored record. Values are what Deno KV holds natively (dates included). */
export type Row = { id: string } & Record<string, unknown>;

/** One condition, in the shape that better-auth's adapter factory hands out. */
export interface Condition {
  field: string;
  value: unknown;
  operator?:
    | "eq"
    | "ne"
    | "lt"
    | "lte"
    | "gt"
    | "gte"
    | "in"
    | "not_in"
    | "contains"
    | "starts_with"
    | "ends_with"
    | undefined;
  connector?: "AND" | "OR" | undefined;
  /** `insensitive` folds the case of strings. */
  mode?: "sensitive" | "insensitive" | undefined;
}

export interface SortBy {
  field: string;
  direction: "asc" | "desc";
}

/** Whether a row meets every AND condition and, if there are OR conditions, at least one of those. */
export function matches(row: Row, where: readonly Condition[]): boolean {
  const alternatives = where.filter((condition) => condition.connector === "OR");
  return where.every((condition) => condition.connector === "OR" || meets(row, condition)) &&
    (alternatives.length === 0 || alternatives.some((condition) => meets(row, condition)));
}

/** Sorts (missing values first when ascending), skips `offset` rows and keeps `limit`. */
export function arrange(rows: Row[], options: { sortBy?: SortBy; offset?: number; limit?: number }): Row[] {
  const { sortBy, offset = 0, limit } = options;
  let arranged = rows;
  if (sortBy !== undefined) {
    const sign = sortBy.direction === "asc" ? 1 : -1;
    arranged = rows.toSorted((a, b) => sign * compareForSort(a[sortBy.field], b[sortBy.field]));
  }
  return arranged.slice(offset, limit === undefined ? undefined : offset + limit);
}

function meets(row: Row, condition: Condition): boolean {
  const isFolded = condition.mode === "insensitive";
  const actual = comparable(row[condition.field], isFolded);
  const operator = condition.operator ?? "eq";
  if (operator === "in" || operator === "not_in") {
    if (!Array.isArray(condition.value)) {
      throw new TypeError(`Where clause on "${condition.field}": ${operator} takes an array of values`);
    }
    const isIn = condition.value.some((value) => comparable(value, isFolded) === actual);
    return operator === "in" ? isIn : !isIn;
  }
  const expected = comparable(condition.value, isFolded);
  switch (operator) {
    case "eq":
      return actual === expected;
    case "ne":
      return actual !== expected;
    case "contains":
      return typeof actual === "string" && typeof expected === "string" && actual.includes(expected);
    case "starts_with":
      return typeof actual === "string" && typeof expected === "string" && actual.startsWith(expected);
    case "ends_with":
      return typeof actual === "string" && typeof expected === "string" && actual.endsWith(expected);
  }
  // As in SQL, nothing is less or greater than null, nor than a value of another type.
  if (actual === null || expected === null || typeof actual !== typeof expected) return false;
  switch (operator) {
    case "lt":
      return actual < expected;
    case "lte":
      return actual <= expected;
    case "gt":
      return actual > expected;
    case "gte":
      return actual >= expected;
  }
}

/** Dates by their time, absent values as null, strings folded on request. */
function comparable(value: unknown, isFolded: boolean): string | number | boolean | null {
  if (value === undefined || value === null) return null;
  if (value instanceof Date) return value.getTime();
  if (typeof value === "string") return isFolded ? value.toLowerCase() : value;
  if (typeof value === "number" || typeof value === "boolean") return value;
  return JSON.stringify(value);
}

function compareForSort(a: unknown, b: unknown): number {
  const [left, right] = [comparable(a, false), comparable(b, false)];
  if (left === right) return 0;
  if (left === null) return -1;
  if (right === null) return 1;
  return left < right ? -1 : 1;
}
