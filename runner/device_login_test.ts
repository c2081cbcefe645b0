import assert from "node:assert/strict";
import { enroll, LoginError, requestDeviceCode, waitForApproval } from "./device_login.ts";

/** Serves the given answers one after another, and notes what was asked. */
function hub(answers: ([number, unknown])[]) {
  const asked: [string, unknown][] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    asked.push([new URL(request.url).pathname, await request.json()]);
    const [status, body] = answers.shift() ?? [500, {}];
    return Response.json(body, { status });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    asked,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

const signal = new AbortController().signal;
const code = (expiresInMs = 60_000) => ({
  deviceCode: "d",
  userCode: "ABCD-1234",
  verificationPath: "/device",
  expiresAt: Date.now() + expiresInMs,
  intervalMs: 1,
});
const grant = { apiKey: "perch_key", userName: "Ada" };

Deno.test("a device login waits until it is approved", async () => {
  await using server = hub([[201, code()], [202, { status: "pending" }], [202, { status: "pending" }], [200, grant]]);
  const given = await requestDeviceCode(server.url, "laptop", signal);
  assert.deepEqual(await waitForApproval(server.url, given, signal), grant);
  assert.deepEqual(server.asked.map(([path]) => path), [
    "/api/device",
    "/api/device/token",
    "/api/device/token",
    "/api/device/token",
  ]);
  assert.deepEqual(server.asked[0]?.[1], { clientName: "laptop" });
  assert.deepEqual(server.asked[1]?.[1], { deviceCode: "d" });
});

Deno.test("a denied, an expired and a nonsensical login say so", async () => {
  await using server = hub([[403, {}], [410, {}], [200, { apiKey: 3 }], [404, "?"]]);
  await assert.rejects(waitForApproval(server.url, code(), signal), /denied on the hub/);
  await assert.rejects(waitForApproval(server.url, code(), signal), /has run out/);
  await assert.rejects(waitForApproval(server.url, code(), signal), /does not understand/);
  await assert.rejects(requestDeviceCode(server.url, "x", signal), /does not seem to be a Perch hub/);
  await assert.rejects(waitForApproval(server.url, code(-1), signal), LoginError);
  await assert.rejects(
    requestDeviceCode("http://127.0.0.1:1", "x", signal),
    /cannot reach the hub at http:\/\/127\.0\.0\.1:1/,
  );
});

Deno.test("enrollment waits for the first account and outlasts a hub that is not up yet", async () => {
  await using server = hub([[202, {}], [503, {}], [202, {}], [200, grant], [403, {}]]);
  assert.deepEqual(await enroll(server.url, "t", signal, 1), grant);
  assert.equal(server.asked.length, 4);
  await assert.rejects(enroll(server.url, "t", signal, 1), /refuses this runner's enrollment \(403\)/);
});
