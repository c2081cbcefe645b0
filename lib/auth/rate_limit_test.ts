import assert from "node:assert/strict";
import { AuthError } from "./errors.ts";
import { Gate } from "./gate.ts";
import { addressSubject, RateLimiter } from "./rate_limit.ts";

Deno.test("addresses are counted by customer: IPv4 alone, IPv6 by /64", () => {
  assert.equal(addressSubject("192.0.2.7"), "192.0.2.7");
  assert.equal(addressSubject("::ffff:192.0.2.7"), "192.0.2.7");
  assert.equal(addressSubject("2001:db8:1:2:aaaa::1"), "2001:db8:1:2::/64");
  assert.equal(addressSubject("2001:DB8:1:2::1"), "2001:db8:1:2::/64");
  assert.equal(addressSubject("2001:db8::1"), "2001:db8:0:0::/64");
  assert.equal(addressSubject("::1"), "0:0:0:0::/64");
});

Deno.test("a rate limit counts exactly under contention, gives back, and starts again when its window ends", async () => {
  using kv = await Deno.openKv(":memory:");
  const rates = new RateLimiter(kv);
  const rule = { name: "test", max: 5, windowMs: 60_000 };
  const take = () =>
    rates.take(rule, "x").then(() => "ok", (error: unknown) => error instanceof AuthError && error.code);
  const results = await Promise.all(Array.from({ length: 12 }, take));
  assert.equal(results.filter((result) => result === "ok").length, 5);
  assert.equal(results.filter((result) => result === "rate_limited").length, 7);
  await rates.giveBack(rule, "x");
  assert.deepEqual([await take(), await take()], ["ok", "rate_limited"]);
  await kv.set(["auth", "rate", "test", "x"], { count: 5, resetAt: Date.now() - 1 });
  assert.equal(await take(), "ok");
  await rates.take(rule, "y");
});

Deno.test("a gate runs a few at once, lets a bounded number wait and refuses the rest", async () => {
  const gate = new Gate(2, 3);
  const release = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++running);
    await release.promise;
    running--;
    return "done";
  };
  const jobs = Array.from({ length: 7 }, () => gate.run(work));
  const refused = await Promise.allSettled(jobs.slice(5));
  for (const result of refused) assert.ok(result.status === "rejected" && result.reason instanceof AuthError);
  release.resolve();
  assert.deepEqual(await Promise.all(jobs.slice(0, 5)), Array(5).fill("done"));
  assert.equal(most, 2);
  await assert.rejects(gate.run(() => Promise.reject(new Error("failed"))), /failed/);
  assert.equal(await gate.run(() => Promise.resolve(1)), 1);
});
