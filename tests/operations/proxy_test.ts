/** Behind a proxy: whose address counts in rate limits, and whose name for a request. */
import assert from "node:assert/strict";
import { type HubProcess, startHub } from "../support/hub.ts";

/** One sign-in with a wrong password, as a proxy would pass it on for a client. */
async function wrongSignIn(
  hub: HubProcess,
  forwardedFor: string,
): Promise<{ status: number; requestId: string | null }> {
  const response = await fetch(`${hub.url}/api/auth/sign-in/email`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      origin: hub.url,
      "x-forwarded-for": forwardedFor,
      "x-request-id": "named-by-the-proxy",
    },
    body: JSON.stringify({ email: "ann@perch.test", password: "Wrong-horse-7" }),
  });
  await response.body?.cancel();
  return { status: response.status, requestId: response.headers.get("x-request-id") };
}

const ATTEMPTS = 10;

Deno.test("PERCH_TRUST_PROXY=1: the last hop is the client, what it claims before that is nothing", async () => {
  await using hub = await startHub({ env: { PERCH_TRUST_PROXY: "1" } });
  for (let i = 0; i < ATTEMPTS; i++) {
    const { status, requestId } = await wrongSignIn(hub, `198.51.100.${i}, 203.0.113.7`);
    assert.equal(status, 401);
    assert.equal(requestId, "named-by-the-proxy");
  }
  assert.equal((await wrongSignIn(hub, "198.51.100.99, 203.0.113.7")).status, 429);
  assert.equal((await wrongSignIn(hub, "203.0.113.8")).status, 401);
});

Deno.test("without it no header changes whose attempt it was, nor the request's id", async () => {
  await using hub = await startHub();
  for (let i = 0; i < ATTEMPTS; i++) {
    const { status, requestId } = await wrongSignIn(hub, `203.0.113.${i}`);
    assert.equal(status, 401);
    assert.notEqual(requestId, "named-by-the-proxy");
  }
  assert.equal((await wrongSignIn(hub, "203.0.113.99")).status, 429);
});
