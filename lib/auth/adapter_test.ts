import assert from "node:assert/strict";
import fc from "fast-check";
import { kvAdapter } from "./adapter.ts";
import { tableSpecs } from "./schema.ts";
import { Tables, UniqueError } from "./tables.ts";
import { arrange, type Condition, matches, type Row } from "./where.ts";

async function open() {
  const kv = await Deno.openKv(":memory:");
  const adapter = kvAdapter(new Tables(kv, tableSpecs))({});
  return { kv, adapter, [Symbol.dispose]: () => kv.close() };
}

function user(email: string, extra: Record<string, unknown> = {}) {
  const now = new Date("2026-01-01T00:00:00Z");
  return { name: email.split("@")[0], email, emailVerified: false, createdAt: now, updatedAt: now, ...extra };
}

type User = { id: string; name: string; email: string; emailVerified: boolean; createdAt: Date; image: string | null };

Deno.test("adapter: create, find by id and by email, dates and booleans keep their types", async () => {
  using db = await open();
  const made = await db.adapter.create<Record<string, unknown>, User>({ model: "user", data: user("ana@example.com") });
  for (const where of [[{ field: "id", value: made.id }], [{ field: "email", value: "ana@example.com" }]]) {
    const found = await db.adapter.findOne<User>({ model: "user", where });
    assert.equal(found?.id, made.id);
    assert.equal(found.createdAt.toISOString(), "2026-01-01T00:00:00.000Z");
    assert.equal(found.emailVerified, false);
  }
  const part = await db.adapter.findOne<Partial<User>>({
    model: "user",
    where: [{ field: "id", value: made.id }],
    select: ["email"],
  });
  assert.deepEqual(part, { email: "ana@example.com" });
  assert.equal(await db.adapter.findOne({ model: "user", where: [{ field: "email", value: "none" }] }), null);
});

Deno.test("adapter: of 20 concurrent rows with one email exactly one is made", async () => {
  using db = await open();
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => db.adapter.create({ model: "user", data: user("ana@example.com") })),
  );
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  for (const result of results) if (result.status === "rejected") assert.ok(result.reason instanceof UniqueError);
  assert.equal(await db.adapter.count({ model: "user" }), 1);
});

Deno.test("adapter: unique values move with updates, and are free again after a deletion", async () => {
  using db = await open();
  const { adapter } = db;
  const ana = await adapter.create<Record<string, unknown>, User>({ model: "user", data: user("ana@example.com") });
  await adapter.create({ model: "user", data: user("bo@example.com") });
  const byId = [{ field: "id", value: ana.id }];
  await assert.rejects(
    adapter.update({ model: "user", where: byId, update: { email: "bo@example.com" } }),
    UniqueError,
  );
  await adapter.update({ model: "user", where: byId, update: { email: "ana2@example.com" } });
  const byEmail = (value: string) => adapter.findOne<User>({ model: "user", where: [{ field: "email", value }] });
  assert.equal(await byEmail("ana@example.com"), null);
  assert.equal((await byEmail("ana2@example.com"))?.id, ana.id);
  await adapter.delete({ model: "user", where: byId });
  assert.equal(await byEmail("ana2@example.com"), null);
  await adapter.create({ model: "user", data: user("ana2@example.com") });
});

Deno.test("adapter: accounts are unique by provider and account id", async () => {
  using db = await open();
  const data = {
    userId: "u1",
    providerId: "credential",
    accountId: "u1",
    createdAt: new Date(),
    updatedAt: new Date(),
  };
  await db.adapter.create({ model: "account", data });
  await assert.rejects(db.adapter.create({ model: "account", data }), UniqueError);
  await db.adapter.create({ model: "account", data: { ...data, providerId: "other" } });
  const found = await db.adapter.findMany({ model: "account", where: [{ field: "userId", value: "u1" }] });
  assert.equal(found.length, 2);
});

Deno.test("adapter: session tokens are stored hashed and come back to whoever names them", async () => {
  using db = await open();
  const { adapter } = db;
  const times = { createdAt: new Date(), updatedAt: new Date(), expiresAt: new Date(Date.now() + 60_000) };
  type Session = { id: string; token: string; expiresAt: Date };
  const made = await adapter.create<Record<string, unknown>, Session>({
    model: "session",
    data: { userId: "u1", token: "the-token", ...times },
  });
  assert.equal(made.token, "the-token");
  for await (const { key, value } of db.kv.list({ prefix: [] })) {
    assert.ok(!JSON.stringify([key, value]).includes("the-token"), `in clear in ${key.join("/")}`);
  }
  const where = [{ field: "token", value: "the-token" }];
  assert.equal((await adapter.findOne<Session>({ model: "session", where }))?.token, "the-token");
  const [listed] = await adapter.findMany<Session>({ model: "session", where: [{ field: "userId", value: "u1" }] });
  assert.match(listed?.token ?? "", /^sha256:/);
  assert.equal(
    await adapter.findOne({ model: "session", where: [{ field: "token", value: listed?.token ?? "" }] }),
    null,
  );
  const later = new Date(Date.now() + 120_000);
  const updated = await adapter.update<Session>({ model: "session", where, update: { expiresAt: later } });
  assert.deepEqual([updated?.token, updated?.expiresAt], ["the-token", later]);
  await adapter.delete({ model: "session", where });
  assert.equal(await adapter.count({ model: "session" }), 0);
});

Deno.test("adapter: finds are sorted, skipped and limited; joins come from the factory", async () => {
  using db = await open();
  const { adapter } = db;
  for (const name of ["c", "a", "e", "b", "d"]) {
    await adapter.create({
      model: "user",
      data: { ...user(`${name}@example.com`), createdAt: new Date(name.charCodeAt(0)) },
    });
  }
  const names = async (direction: "asc" | "desc", offset: number, limit: number, field = "name") =>
    (await adapter.findMany<User>({ model: "user", sortBy: { field, direction }, offset, limit })).map(({ name }) =>
      name
    );
  assert.deepEqual(await names("asc", 0, 3), ["a", "b", "c"]);
  assert.deepEqual(await names("desc", 1, 2), ["d", "c"]);
  assert.deepEqual(await names("desc", 0, 1, "createdAt"), ["e"]);
  const ana = await adapter.findOne<User>({ model: "user", where: [{ field: "email", value: "a@example.com" }] });
  const times = { createdAt: new Date(), updatedAt: new Date(), expiresAt: new Date(Date.now() + 60_000) };
  await adapter.create({ model: "session", data: { userId: ana?.id, token: "t", ...times } });
  const joined = await adapter.findOne<{ user: User }>({
    model: "session",
    where: [{ field: "token", value: "t" }],
    join: { user: true },
  });
  assert.equal(joined?.user.email, "a@example.com");
});

Deno.test("adapter: updateMany and deleteMany count what they changed", async () => {
  using db = await open();
  const { adapter } = db;
  for (const name of ["a", "b", "c"]) await adapter.create({ model: "user", data: user(`${name}@example.com`) });
  const where = [{ field: "name", value: ["a", "b"], operator: "in" as const }];
  assert.equal(await adapter.updateMany({ model: "user", where, update: { emailVerified: true } }), 2);
  const verified = [{ field: "emailVerified", value: true }];
  assert.equal(await adapter.count({ model: "user", where: verified }), 2);
  assert.equal(await adapter.deleteMany({ model: "user", where: verified }), 2);
  assert.equal(await adapter.deleteMany({ model: "user", where: verified }), 0);
  assert.equal(await adapter.count({ model: "user" }), 1);
});

Deno.test("adapter: update and delete without a clause change nothing", async () => {
  using db = await open();
  await db.adapter.create({ model: "user", data: user("a@example.com") });
  assert.equal(await db.adapter.update({ model: "user", where: [], update: { name: "x" } }), null);
  await db.adapter.delete({ model: "user", where: [] });
  assert.equal(await db.adapter.count({ model: "user", where: [{ field: "name", value: "a" }] }), 1);
});

Deno.test("adapter: of 20 consumers of one row exactly one gets it", async () => {
  using db = await open();
  const { adapter } = db;
  const times = { createdAt: new Date(), updatedAt: new Date(), expiresAt: new Date(Date.now() + 60_000) };
  await adapter.create({ model: "verification", data: { identifier: "x", value: "1", ...times } });
  const where = [{ field: "identifier", value: "x" }];
  const consumed = await Promise.all(
    Array.from({ length: 20 }, () => adapter.consumeOne({ model: "verification", where })),
  );
  assert.equal(consumed.filter((row) => row !== null).length, 1);
});

Deno.test("tables: a guarded counter is never passed, however many write at once", async () => {
  using kv = await Deno.openKv(":memory:");
  const tables = new Tables(kv, {});
  await tables.insert("counter", { id: "c", left: 5 });
  const where: Condition[] = [{ field: "id", value: "c" }, { field: "left", operator: "gt", value: 0 }];
  const taken = await Promise.all(
    Array.from({ length: 12 }, () => tables.update("counter", where, ({ left }) => ({ left: Number(left) - 1 }))),
  );
  assert.equal(taken.filter((row) => row !== null).length, 5);
  assert.equal((await tables.get("counter", "c"))?.row.left, 0);
});

Deno.test("tables: any sequence of changes leaves exactly the indexes of the rows that are there", async () => {
  const email = fc.constantFrom("a", "b", "c", "d");
  const owner = fc.constantFrom("x", "y");
  const id = fc.constantFrom("1", "2", "3");
  const step = fc.oneof(
    fc.record({ kind: fc.constant("insert" as const), id, email, owner }),
    fc.record({ kind: fc.constant("update" as const), id, email, owner }),
    fc.record({ kind: fc.constant("remove" as const), id }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
      using kv = await Deno.openKv(":memory:");
      const tables = new Tables(kv, { t: { unique: [["email"]], indexes: ["owner"] } });
      const model = new Map<string, { id: string; email: string; owner: string }>();
      for (const step of steps) {
        const byId = [{ field: "id", value: step.id }];
        if (step.kind === "remove") {
          assert.equal(await tables.remove("t", byId) !== null, model.delete(step.id));
          continue;
        }
        const row = { id: step.id, email: step.email, owner: step.owner };
        const isTaken = [...model.values()].some((other) => other.id !== row.id && other.email === row.email);
        const isThere = model.has(row.id);
        const write = step.kind === "insert" ? tables.insert("t", row) : tables.update("t", byId, () => row);
        const mustFail = step.kind === "insert" ? isThere || isTaken : isThere && isTaken;
        if (mustFail) await assert.rejects(write, UniqueError);
        else await write;
        if (!mustFail && (step.kind === "insert" || isThere)) model.set(row.id, row);
      }
      const keys = [];
      for await (const entry of kv.list({ prefix: ["auth"] })) {
        if (entry.key[1] !== "row") keys.push(entry.key.join(" "));
      }
      const expected = [...model.values()].flatMap((row) => [
        `auth unique t email ${row.email}`,
        `auth index t owner ${row.owner} ${row.id}`,
      ]);
      assert.deepEqual(keys.sort(), expected.sort());
    }),
    { numRuns: 60 },
  );
});

Deno.test("where: operators, connectors and case", () => {
  const row: Row = { id: "1", name: "Ana", age: 30, at: new Date(1_000), none: null, on: true };
  const cases: [Condition[], boolean][] = [
    [[], true],
    [[{ field: "name", value: "ana" }], false],
    [[{ field: "name", value: "ana", mode: "insensitive" }], true],
    [[{ field: "name", value: "Bo", operator: "ne" }], true],
    [[{ field: "age", value: 30, operator: "lt" }], false],
    [[{ field: "age", value: 30, operator: "lte" }], true],
    [[{ field: "at", value: new Date(999), operator: "gt" }], true],
    [[{ field: "at", value: new Date(1_000), operator: "eq" }], true],
    [[{ field: "at", value: new Date(1_001), operator: "gte" }], false],
    [[{ field: "none", value: 1, operator: "lt" }], false],
    [[{ field: "none", value: null }], true],
    [[{ field: "absent", value: null }], true],
    [[{ field: "name", value: ["Bo", "Ana"], operator: "in" }], true],
    [[{ field: "name", value: ["Bo", "Ana"], operator: "not_in" }], false],
    [[{ field: "name", value: "n", operator: "contains" }], true],
    [[{ field: "name", value: "an", operator: "starts_with" }], false],
    [[{ field: "name", value: "an", operator: "starts_with", mode: "insensitive" }], true],
    [[{ field: "name", value: "na", operator: "ends_with" }], true],
    [[{ field: "age", value: 1, connector: "OR" }, { field: "on", value: true, connector: "OR" }], true],
    [[{ field: "age", value: 1, connector: "OR" }, { field: "on", value: false, connector: "OR" }], false],
    [[{ field: "age", value: 1 }, { field: "on", value: true, connector: "OR" }], false],
  ];
  for (const [where, expected] of cases) assert.equal(matches(row, where), expected, JSON.stringify(where));
  assert.throws(() => matches(row, [{ field: "name", value: "x", operator: "in" }]), /takes an array/);
  const sorted = arrange([{ id: "b", n: 2 }, { id: "a", n: null }, { id: "c", n: 1 }], {
    sortBy: { field: "n", direction: "asc" },
  });
  assert.deepEqual(sorted.map(({ id }) => id), ["a", "c", "b"]);
});
