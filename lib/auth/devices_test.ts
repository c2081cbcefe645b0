import assert from "node:assert/strict";
import { codeOf, TestHub } from "./testing.ts";

interface Started {
  deviceCode: string;
  userCode: string;
  verificationPath: string;
  expiresAt: number;
  intervalMs: number;
}

Deno.test("device login: approved in the browser, redeemed exactly once, for a key that works", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const machine = hub.client({ origin: "" });
  const reply = await machine.post("/api/device", { clientName: "ana's laptop" });
  assert.equal(reply.status, 201);
  const { deviceCode, userCode, verificationPath } = reply.body as Started;
  assert.match(userCode, /^[B-X]{4}-[B-X]{4}$/);
  assert.equal(verificationPath, "/device");
  const redeem = () => machine.post("/api/device/token", { deviceCode });
  const pending = await redeem();
  assert.deepEqual([pending.status, (pending.body as { status: string }).status], [202, "pending"]);

  const info = await owner.get(`/api/device/info?code=${userCode.toLowerCase().replace("-", " ")}`);
  const { clientName, ip, status } = info.body as Record<string, unknown>;
  assert.deepEqual([clientName, ip, status], ["ana's laptop", "127.0.0.1", "pending"]);
  assert.equal(codeOf(await hub.client().get(`/api/device/info?code=${userCode}`)), "unauthorized");
  assert.equal(codeOf(await hub.client().post("/api/device/approve", { userCode, approve: true })), "unauthorized");
  const foreign = await owner.post("/api/device/approve", { userCode, approve: true }, {
    origin: "https://evil.example",
  });
  assert.equal(codeOf(foreign), "bad_origin");
  assert.deepEqual((await owner.post("/api/device/approve", { userCode, approve: true })).body, { status: "approved" });
  assert.equal(codeOf(await owner.post("/api/device/approve", { userCode, approve: false })), "conflict");

  const redeemed = await Promise.all(Array.from({ length: 8 }, redeem));
  const granted = redeemed.filter(({ status }) => status === 200);
  assert.equal(granted.length, 1);
  for (const other of redeemed) if (other.status !== 200) assert.equal(codeOf(other), "device_code_used");
  assert.equal(redeemed.filter(({ status }) => status === 410).length, 7);
  const { apiKey, userName } = granted[0]?.body as { apiKey: string; userName: string };
  assert.equal(userName, "Ana");
  assert.equal((await hub.client({ authorization: `Bearer ${apiKey}` }).get("/api/account")).status, 200);
  const { keys } = (await owner.get("/api/keys")).body as { keys: { name: string }[] };
  assert.deepEqual(keys.map(({ name }) => name), ["ana's laptop"]);
});

Deno.test("device login: denied, expired, unknown, and too many wrong codes", async () => {
  await using hub = await TestHub.start();
  const owner = await hub.owner();
  const machine = hub.client({ origin: "" });
  const start = async () => (await machine.post("/api/device", { clientName: "m" })).body as Started;
  const redeem = (deviceCode: string) => machine.post("/api/device/token", { deviceCode });

  const denied = await start();
  await owner.post("/api/device/approve", { userCode: denied.userCode, approve: false });
  assert.equal(codeOf(await redeem(denied.deviceCode)), "device_denied");

  const expired = await start();
  for await (const { key, value } of hub.kv.list<Record<string, unknown>>({ prefix: ["auth", "row", "device"] })) {
    if (value.status === "pending") await hub.kv.set(key, { ...value, expiresAt: Date.now() - 1 });
  }
  const late = await redeem(expired.deviceCode);
  assert.deepEqual([late.status, codeOf(late)], [410, "device_code_expired"]);
  assert.equal(
    codeOf(await owner.post("/api/device/approve", { userCode: expired.userCode, approve: true })),
    "not_found (userCode)",
  );
  assert.equal(codeOf(await redeem("nonsense")), "device_code_unknown");
  assert.equal(codeOf(await machine.post("/api/device", { clientName: "" })), "invalid_field (clientName)");

  const guesses = [];
  for (let index = 0; index < 21; index++) guesses.push(codeOf(await owner.get("/api/device/info?code=BBBB-BBBB")));
  assert.equal(guesses.at(-1), "rate_limited");

  const fresh = await start();
  const polls = await Promise.all(Array.from({ length: 61 }, () => redeem(fresh.deviceCode)));
  assert.equal(polls.filter(({ status }) => status === 429).length, 1);
  const starts = [];
  for (let index = 0; index < 21; index++) starts.push((await machine.post("/api/device", { clientName: "m" })).status);
  assert.equal(starts.at(-1), 429);
});

Deno.test("enrollment: the local runner waits for the first account and then gets a key, exactly once", async () => {
  await using hub = await TestHub.start();
  const token = await hub.auth.issueEnrollment();
  const runner = hub.client({ origin: "" });
  assert.equal(codeOf(await runner.post("/api/device/enroll", { token: "nonsense" })), "enrollment_invalid (token)");
  assert.deepEqual(await hub.auth.devices.enroll(token, "r", { timeoutMs: 1 }), { status: "pending" });
  const waiting = [1, 2].map(() => runner.post("/api/device/enroll", { token, clientName: "box" }));
  await hub.owner();
  const replies = await Promise.all(waiting);
  assert.deepEqual(replies.map(codeOf).toSorted(), [200, "enrollment_invalid (token)"]);
  const { apiKey, userName } = replies.find(({ status }) => status === 200)?.body as {
    apiKey: string;
    userName: string;
  };
  assert.equal(userName, "Ana");
  assert.equal((await hub.client({ authorization: `Bearer ${apiKey}` }).get("/api/account")).status, 200);
  assert.equal(codeOf(await runner.post("/api/device/enroll", { token })), "enrollment_invalid (token)");

  const later = await hub.auth.issueEnrollment();
  assert.equal((await runner.post("/api/device/enroll", { token: later })).status, 200);
});

Deno.test("enrollment: closing the hub answers a request that waits", async () => {
  await using hub = await TestHub.start();
  const token = await hub.auth.issueEnrollment();
  const waiting = hub.auth.devices.enroll(token, "r");
  hub.auth.close();
  assert.deepEqual(await waiting, { status: "pending" });
});
