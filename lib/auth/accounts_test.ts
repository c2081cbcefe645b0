import assert from "node:assert/strict";
import { codeOf, PASSWORD, TestHub } from "./testing.ts";

const ANA = { name: "Ana", email: "ana@example.com", password: PASSWORD };
const BO = { name: "Bo", email: "bo@example.com", password: PASSWORD };

Deno.test("set-up: of 20 at the same time one makes the account and is signed in", async () => {
  await using hub = await TestHub.start();
  const status = async () => (await hub.client().get("/api/signup-status")).body;
  assert.deepEqual(await status(), { needsSetup: true, isOpen: false });
  const oldest = await hub.auth.issueSetupToken();
  // Each process of a cluster issues one when it starts, all of them at once.
  const tokens = await Promise.all(Array.from({ length: 16 }, () => hub.auth.issueSetupToken()));
  const [token] = tokens;
  assert.equal(new Set(tokens).size, 16);
  assert.equal(codeOf(await hub.client().post("/api/setup", { token: oldest, ...ANA })), "setup_token_invalid (token)");
  const clients = Array.from({ length: 20 }, () => hub.client());
  const replies = await Promise.all(
    clients.map((client, index) => client.post("/api/setup", { token, ...ANA, email: `ana${index % 3}@example.com` })),
  );
  const winners = clients.filter((_, index) => replies[index]?.status === 201);
  assert.equal(winners.length, 1);
  for (const reply of replies) if (reply.status !== 201) assert.equal(codeOf(reply), "already_set_up");
  assert.equal((await winners[0]?.get("/api/account"))?.status, 200);
  assert.deepEqual(await status(), { needsSetup: false, isOpen: false });
  assert.equal(await hub.auth.issueSetupToken(), null);
  const users = await Array.fromAsync(hub.kv.list({ prefix: ["auth", "row", "user"] }));
  assert.equal(users.length, 1);
  for await (const { key, value } of hub.kv.list({ prefix: [] })) {
    const stored = JSON.stringify([key, value]);
    assert.ok(!stored.includes(token ?? "") && !stored.includes(PASSWORD), `a secret in clear in ${key.join("/")}`);
  }
});

Deno.test("set-up: bad fields are named and leave the link usable; each password rule has its error", async () => {
  await using hub = await TestHub.start();
  const token = await hub.auth.issueSetupToken();
  const client = hub.client();
  const cases: [Record<string, unknown>, string][] = [
    [{ password: "Ab1" }, "password_min_length (password)"],
    [{ password: "Ab1".repeat(50) }, "password_max_length (password)"],
    [{ password: "lower1234" }, "password_uppercase (password)"],
    [{ password: "UPPER1234" }, "password_lowercase (password)"],
    [{ password: "NoDigitsHere" }, "password_digit (password)"],
    [{ password: 7 }, "invalid_field (password)"],
    [{ email: "ana" }, "invalid_email (email)"],
    [{ name: " " }, "invalid_name (name)"],
    [{ token: "wrong" }, "setup_token_invalid (token)"],
  ];
  for (const [change, expected] of cases) {
    assert.equal(codeOf(await client.post("/api/setup", { token, ...ANA, ...change })), expected);
  }
  assert.equal(
    codeOf(await client.send("POST", "/api/setup", "{", { "content-type": "application/json" })),
    "invalid_json",
  );
  assert.equal(codeOf(await client.send("POST", "/api/setup", "a=b", {})), "unsupported_media_type");
  const huge = await client.post("/api/setup", { token, ...ANA, name: "x".repeat(20_000) });
  assert.equal(codeOf(huge), "too_large");
  assert.equal((await client.post("/api/setup", { token, ...ANA })).status, 201);
});

Deno.test("sign-up: refused before set-up and when closed; open when configured; one email has one account", async () => {
  await using hub = await TestHub.start({ isSignupOpen: true });
  const path = "/api/auth/sign-up/email";
  assert.equal(codeOf(await hub.client().post(path, BO)), "setup_required");
  await hub.owner();
  assert.deepEqual((await hub.client().get("/api/signup-status")).body, { needsSetup: false, isOpen: true });
  assert.equal(codeOf(await hub.client().post(path, { ...ANA, email: "ANA@example.com" })), "email_taken (email)");
  const replies = await Promise.all([1, 2, 3].map(() => hub.client().post(path, BO)));
  assert.deepEqual(replies.map(codeOf).toSorted(), [201, "email_taken (email)", "email_taken (email)"]);
});

Deno.test("invites: shown once, one use, for one address, revocable, seen by their maker only", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const signUp = (input: Record<string, unknown>) => hub.client().post("/api/auth/sign-up/email", input);
  const invite = async (body: Record<string, unknown>) => {
    const { status, body: made } = await owner.post("/api/invites", body);
    assert.equal(status, 201);
    const { inviteId, url, expiresAt } = made as { inviteId: string; url: string; expiresAt: number };
    return { inviteId, url, expiresAt, inviteToken: new URL(url).hash.slice("#invite=".length) };
  };
  assert.equal(codeOf(await signUp(BO)), "signup_closed");
  assert.equal(codeOf(await signUp({ ...BO, inviteToken: "nonsense" })), "invite_invalid (inviteToken)");
  assert.equal(codeOf(await owner.post("/api/invites", { expiresInMs: 1 })), "invalid_field (expiresInMs)");

  const revoked = await invite({});
  assert.equal((await owner.delete(`/api/invites/${revoked.inviteId}`)).status, 204);
  assert.equal(codeOf(await owner.delete(`/api/invites/${revoked.inviteId}`)), "not_found");
  assert.equal(codeOf(await signUp({ ...BO, inviteToken: revoked.inviteToken })), "invite_invalid (inviteToken)");

  const { inviteToken, inviteId, url, expiresAt } = await invite({ email: "BO@example.com" });
  assert.ok(url.startsWith(hub.origin) && new URL(url).search === "");
  assert.ok(expiresAt > Date.now() + 6.9 * 86_400_000 && expiresAt < Date.now() + 7.1 * 86_400_000);
  const { body } = await owner.get("/api/invites");
  const { invites } = body as { invites: { inviteId: string; email: string }[] };
  assert.deepEqual(invites.map((row) => [row.inviteId, row.email]), [[inviteId, "bo@example.com"]]);
  assert.ok(!JSON.stringify(body).includes(inviteToken));
  const mismatch = await signUp({ ...BO, email: "eve@example.com", inviteToken });
  assert.equal(codeOf(mismatch), "invite_email_mismatch (email)");
  const used = await Promise.all([signUp({ ...BO, inviteToken }), signUp({ ...BO, inviteToken })]);
  assert.equal(used.filter((reply) => reply.status === 201).length, 1);
  assert.deepEqual((await owner.get("/api/invites")).body, { invites: [] });

  const bo = hub.client();
  assert.equal((await bo.post("/api/auth/sign-in/email", BO)).status, 200);
  const { inviteId: anas } = await invite({});
  assert.deepEqual((await bo.get("/api/invites")).body, { invites: [] });
  assert.equal(codeOf(await bo.delete(`/api/invites/${anas}`)), "not_found");
  const { body: made } = await owner.post("/api/keys", { name: "ana's" });
  assert.deepEqual((await bo.get("/api/keys")).body, { keys: [] });
  assert.equal(codeOf(await bo.delete(`/api/keys/${(made as { id: string }).id}`)), "not_found");
  const boId = ((await bo.get("/api/account")).body as { userId: string }).userId;
  const sessions = hub.kv.list<{ id: string; userId: string }>({ prefix: ["auth", "row", "session"] });
  for await (const { value } of sessions) {
    if (value.userId !== boId) {
      assert.equal(codeOf(await bo.post("/api/auth/revoke-session", { id: value.id })), "not_found");
    }
  }
});
