import assert from "node:assert/strict";
import { codeOf, TestHub } from "./testing.ts";

interface Listed {
  keys: {
    id: string;
    name: string;
    prefix: string;
    createdAt: number;
    lastUsedAt: number | null;
    expiresAt: number | null;
  }[];
}

Deno.test("API keys: shown once, hashed, used as Bearer, listed with last use, revocable", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const { id, key } = (await owner.post("/api/keys", { name: " laptop " })).body as { id: string; key: string };
  assert.match(key, /^perch_[0-9A-Za-z]{43}$/);
  for await (const entry of hub.kv.list({ prefix: [] })) {
    assert.ok(!JSON.stringify([entry.key, entry.value]).includes(key), `in clear in ${entry.key.join("/")}`);
  }
  const keys = async () => ((await owner.get("/api/keys")).body as Listed).keys;
  const [listed] = await keys();
  assert.deepEqual({ ...listed, createdAt: 0 }, {
    ...{ id, name: "laptop", prefix: key.slice(0, 12), createdAt: 0, lastUsedAt: null, expiresAt: null },
  });

  const script = hub.client({ authorization: `Bearer ${key}`, origin: "" });
  const account = (await script.get("/api/account")).body as { userName: string; credential: string };
  assert.deepEqual([account.userName, account.credential], ["Ana", "key"]);
  const [used] = await keys();
  assert.ok(used?.lastUsedAt !== null);

  for (const path of ["/api/keys", "/api/invites", "/api/auth/list-sessions", "/api/device/info?code=BCDF-GHJK"]) {
    assert.equal(codeOf(await script.get(path)), "session_required", path);
  }
  assert.equal(codeOf(await script.post("/api/keys", { name: "more" })), "session_required");
  assert.equal(codeOf(await script.post("/api/invites", {})), "session_required");
  assert.equal(codeOf(await script.delete(`/api/keys/${id}`)), "session_required");
  assert.equal(codeOf(await script.post("/api/device/approve", { userCode: "x", approve: true })), "session_required");

  assert.equal((await owner.delete(`/api/keys/${id}`)).status, 204);
  assert.equal(codeOf(await script.get("/api/account")), "unauthorized");
  assert.deepEqual(hub.revoked.map(({ credential }) => credential), [{ kind: "key", id }]);
  assert.deepEqual(await keys(), []);
});

Deno.test("API keys: a wrong Bearer is nobody although a valid cookie comes with it; other schemes leave the cookie", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  for (const authorization of ["Bearer perch_wrong", "bearer", "Bearer "]) {
    assert.equal(codeOf(await owner.get("/api/account", { authorization })), "unauthorized", authorization);
  }
  assert.equal((await owner.get("/api/account", { authorization: "Basic eDp5" })).status, 200);
  assert.equal((await owner.get("/api/account")).status, 200);
});

Deno.test("API keys: last use is written at most once a minute, and expired keys are refused", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const { userId } = (await owner.get("/api/account")).body as { userId: string };
  const { keys } = hub.auth;
  const { id, key } = await keys.create(userId, { name: "k", expiresInDays: 1 });
  const stampOf = async () => (await hub.kv.get(["auth", "row", "apiKey", id])).versionstamp;
  await keys.verify(key);
  const stamp = await stampOf();
  await keys.verify(key);
  assert.equal(await stampOf(), stamp);
  const entry = await hub.kv.get<Record<string, unknown>>(["auth", "row", "apiKey", id]);
  await hub.kv.set(entry.key, { ...entry.value, lastUsedAt: Date.now() - 60_000 });
  const before = await stampOf();
  assert.equal((await keys.verify(key))?.keyId, id);
  assert.notEqual(await stampOf(), before);
  await hub.kv.set(entry.key, { ...entry.value, expires: Date.now() - 1 });
  assert.equal(await keys.verify(key), null);
  for (const body of [{ name: "" }, { name: "a\nb" }, { name: "x".repeat(101) }]) {
    assert.equal(codeOf(await owner.post("/api/keys", body)), "invalid_field (name)");
  }
  assert.equal(codeOf(await owner.post("/api/keys", { name: "k", expiresInDays: 0 })), "invalid_field (expiresInDays)");
  assert.equal(codeOf(await owner.post("/api/keys", {})), "invalid_field (name)");
});

Deno.test("credentials: what another isolate revokes is void here at once, without a word", async () => {
  const path = await Deno.makeTempFile();
  await using here = await TestHub.start({ path });
  await using there = await TestHub.start({ path });
  const owner = await here.owner();
  const { userId } = (await owner.get("/api/account")).body as { userId: string };
  const { id, key } = await there.auth.keys.create(userId, { name: "k" });
  const script = here.client({ authorization: `Bearer ${key}` });
  for (let count = 0; count < 2; count++) assert.equal((await script.get("/api/account")).status, 200);
  await there.auth.keys.revoke(userId, id);
  assert.equal(codeOf(await script.get("/api/account")), "unauthorized");

  const { session } = (await owner.get("/api/auth/get-session")).body as { session: { id: string } };
  assert.equal((await owner.get("/api/account")).status, 200);
  await there.auth.revokeSession(userId, session.id);
  assert.equal(codeOf(await owner.get("/api/account")), "unauthorized");
});
