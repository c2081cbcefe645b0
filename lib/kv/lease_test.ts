import assert from "node:assert/strict";
import { KvLease, type LeaseRow } from "./lease.ts";

Deno.test("a lease is renewed by its holder and lost once someone else removed or took it", async () => {
  using kv = await Deno.openKv(":memory:");
  let now = 1_000;
  const options = { leaseMs: 100, now: () => now };
  const lease = new KvLease<LeaseRow>(kv, ["lease"], {}, options);
  await lease.acquire();
  now = 1_050;
  assert.equal(await lease.renew(), true);
  assert.deepEqual((await kv.get(["lease"])).value, { expiresAt: 1_150 });
  await new KvLease<LeaseRow>(kv, ["lease"], {}, options).acquire();
  assert.equal(await lease.renew(), false);
  await lease.release();
  assert.notEqual((await kv.get(["lease"])).value, null);
  await lease.acquire();
  await lease.release();
  assert.equal((await kv.get(["lease"])).value, null);
});
