import assert from "node:assert/strict";
import { codeOf, PASSWORD, TestHub } from "./testing.ts";

const ANA = { email: "ana@example.com", password: PASSWORD };

Deno.test("sessions: the cookie is HttpOnly, Lax and host-only, and survives a restart", async () => {
  const path = await Deno.makeTempFile();
  const cookies = new Map<string, string>();
  {
    await using hub = await TestHub.start({ path });
    const owner = await hub.owner();
    assert.equal(owner.setCookies.length, 1);
    const [cookie = ""] = owner.setCookies;
    for (const attribute of [/; *HttpOnly/i, /; *SameSite=Lax/i, /; *Path=\//i]) assert.match(cookie, attribute);
    for (const attribute of [/; *Domain/i, /; *Secure/i]) assert.doesNotMatch(cookie, attribute);
    for (const [name, value] of owner.cookies) cookies.set(name, value);
    const { body } = await owner.get("/api/auth/get-session");
    assert.ok(!JSON.stringify(body).includes("token"));
  }
  await using hub = await TestHub.start({ path });
  const again = hub.client();
  again.cookies = cookies;
  const { user } = (await again.get("/api/auth/get-session")).body as { user: { email: string } };
  assert.equal(user.email, ANA.email);
  assert.equal((await again.get("/api/account")).status, 200);
  await Deno.remove(path);
});

Deno.test("sessions: cookies are Secure when people open the hub over https", async () => {
  await using hub = await TestHub.start({ baseUrl: "https://perch.example" });
  const owner = await hub.owner();
  assert.match(owner.setCookies[0] ?? "", /^__Secure-.*; *Secure/i);
  const proxied = await owner.get("/api/account", { origin: "https://perch.example" });
  assert.equal(proxied.status, 200);
});

Deno.test("sessions: listing, revoking, signing out and changing the password", async () => {
  await using hub = await TestHub.start();
  const first = await hub.owner();
  const [second, third] = [hub.client({ "user-agent": "Second/1" }), hub.client()];
  for (const client of [second, third]) assert.equal((await client.post("/api/auth/sign-in/email", ANA)).status, 200);
  const sessionsOf = async (client: typeof first) => {
    const { body } = await client.get("/api/auth/list-sessions");
    return (body as { sessions: { id: string; isCurrent: boolean; userAgent: string; ipAddress: string }[] }).sessions;
  };
  const sessions = await sessionsOf(first);
  assert.equal(sessions.length, 3);
  assert.equal(sessions.filter((session) => session.isCurrent).length, 1);
  const secondId = sessions.find((session) => session.userAgent === "Second/1")?.id ?? "";
  assert.equal(sessions[0]?.ipAddress, "127.0.0.1");

  assert.equal((await second.get("/api/account")).status, 200);
  assert.equal((await first.post("/api/auth/revoke-session", { id: secondId })).status, 200);
  assert.equal(codeOf(await second.get("/api/account")), "unauthorized");
  assert.deepEqual(hub.revoked.map(({ credential }) => credential), [{ kind: "session", id: secondId }]);

  const change = (currentPassword: string, newPassword: string) =>
    first.post("/api/auth/change-password", { currentPassword, newPassword });
  assert.equal(codeOf(await change(PASSWORD, "short")), "password_min_length (newPassword)");
  assert.equal(codeOf(await change("Wrong1Password", "Another1Horse")), "wrong_password (currentPassword)");
  assert.equal((await third.get("/api/account")).status, 200);
  assert.equal((await change(PASSWORD, "Another1Horse")).status, 200);
  assert.equal(codeOf(await third.get("/api/account")), "unauthorized");
  assert.equal((await sessionsOf(first)).length, 1);
  assert.equal(codeOf(await third.post("/api/auth/sign-in/email", ANA)), "invalid_credentials");

  const stolen = new Map(first.cookies);
  assert.equal((await first.post("/api/auth/sign-out", {})).status, 200);
  assert.equal(first.cookies.size, 0);
  first.cookies = stolen;
  assert.equal(codeOf(await first.get("/api/account")), "unauthorized");
  assert.equal((await first.get("/api/auth/get-session")).body, null);
  assert.equal(hub.revoked.length, 3);
});

Deno.test("sign-in: ten wrong passwords are refused with 429, whatever a proxy header says; others may still sign in", async () => {
  await using hub = await TestHub.start();
  await hub.owner();
  const attempt = (email: string, index: number) =>
    hub.client({ "x-forwarded-for": `10.0.0.${index}` }).post("/api/auth/sign-in/email", {
      email,
      password: "Wrong1Password",
    });
  const codes = await Promise.all(
    Array.from({ length: 14 }, async (_, index) => codeOf(await attempt("eve@example.com", index))),
  );
  assert.equal(codes.filter((code) => code === "invalid_credentials").length, 10);
  assert.equal(codes.filter((code) => code === "rate_limited").length, 4);
  const limited = await attempt("EVE@example.com ", 20);
  assert.equal(limited.status, 429);
  assert.ok(Number(limited.headers.get("retry-after")) > 0);
  assert.equal((await hub.client().post("/api/auth/sign-in/email", ANA)).status, 200);
});

Deno.test("origin: state changes are refused from other sites and from cookie requests without one", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const create = (headers: Record<string, string>) => owner.post("/api/keys", { name: "k" }, headers);
  assert.equal(codeOf(await create({ origin: "https://evil.example" })), "bad_origin");
  assert.equal(codeOf(await create({ origin: "null" })), "bad_origin");
  assert.equal(codeOf(await create({ origin: "" })), "bad_origin");
  assert.equal(codeOf(await create({ origin: "", "sec-fetch-site": "cross-site" })), "bad_origin");
  assert.equal(codeOf(await create({ origin: "", "sec-fetch-site": "same-site" })), "bad_origin");
  assert.equal((await create({ origin: "", "sec-fetch-site": "same-origin" })).status, 201);
  assert.equal((await create({})).status, 201);
  assert.equal(codeOf(await owner.delete("/api/keys/x", { origin: "https://evil.example" })), "bad_origin");
  assert.equal(codeOf(await owner.post("/api/auth/sign-out", {}, { origin: "https://evil.example" })), "bad_origin");
  const signIn = await hub.client().post("/api/auth/sign-in/email", ANA, { origin: "https://evil.example" });
  assert.equal(codeOf(signIn), "bad_origin");
  assert.equal((await hub.client().post("/api/auth/sign-in/email", ANA, { origin: "" })).status, 200);
});

Deno.test("better-auth's other endpoints are not reachable", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  for (
    const path of [
      "ok",
      "update-user",
      "delete-user",
      "list-accounts",
      "request-password-reset",
      "revoke-sessions",
      "error",
    ]
  ) {
    assert.equal((await owner.get(`/api/auth/${path}`)).status, 404, path);
    assert.equal((await owner.post(`/api/auth/${path}`, {})).status, 404, path);
  }
  assert.equal((await owner.get("/api/auth/sign-in/email")).status, 404);
});

Deno.test("sessions: get-session refreshes one older than a day; authenticate does not; expired and forged ones are nobody", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const [stored] = await Array.fromAsync(hub.kv.list<Record<string, unknown>>({ prefix: ["auth", "row", "session"] }));
  assert.ok(stored !== undefined);
  const days = (count: number) => new Date(Date.now() + count * 86_400_000);
  await hub.kv.set(stored.key, { ...stored.value, expiresAt: days(5) });
  const expiryOf = async () => (await hub.kv.get<{ expiresAt: Date }>(stored.key)).value?.expiresAt.getTime() ?? 0;
  assert.equal((await owner.get("/api/account")).status, 200);
  assert.ok(await expiryOf() < days(6).getTime());
  assert.equal((await owner.get("/api/auth/get-session")).status, 200);
  assert.equal(owner.setCookies.length, 1);
  assert.ok(await expiryOf() > days(29).getTime());

  const forger = hub.client();
  for (const [name, value] of owner.cookies) {
    forger.cookies.set(name, value.replace(/.\w{4}%3D$/, ".AAAA%3D").replace(/^./, "x"));
  }
  assert.equal(codeOf(await forger.get("/api/account")), "unauthorized");

  await hub.kv.set(stored.key, { ...stored.value, expiresAt: days(-1) });
  assert.equal((await owner.get("/api/auth/get-session")).body, null);
  assert.equal(codeOf(await owner.get("/api/account")), "unauthorized");
});

Deno.test("sessions: a sign-in with the old password while it is being changed leaves no session", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  let current = PASSWORD;
  for (let round = 0; round < 4; round++) {
    const next = `Changed${round}Horse`;
    const others = Array.from({ length: 3 }, () => hub.client());
    const change = owner.post("/api/auth/change-password", { currentPassword: current, newPassword: next });
    await Promise.all(others.map((other) => other.post("/api/auth/sign-in/email", { ...ANA, password: current })));
    assert.equal((await change).status, 200);
    for (const other of others) assert.equal(codeOf(await other.get("/api/account")), "unauthorized");
    current = next;
  }
  assert.equal((await owner.get("/api/account")).status, 200);
});
