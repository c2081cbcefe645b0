import assert from "node:assert/strict";
import { PeerTickets } from "./peer_ticket.ts";

Deno.test("a ticket is of one isolate for one other, for a minute, and cannot be altered", async () => {
  using kv = await Deno.openKv(":memory:");
  using foreignKv = await Deno.openKv(":memory:");
  let now = 1_000_000;
  const ours = new PeerTickets(kv, () => now);
  const theirs = new PeerTickets(kv, () => now);
  const [ticket] = await Promise.all([ours.issue("a-1", "b-2"), theirs.issue("b-2", "a-1")]);
  assert.equal(await theirs.check(ticket, "b-2"), "a-1");
  assert.equal(await theirs.check(ticket, "c-3"), null);
  assert.equal(await new PeerTickets(foreignKv, () => now).check(ticket, "b-2"), null);
  for (const at of [0, 4, 9, 20, ticket.length - 1]) {
    const changed = ticket.slice(0, at) + (ticket[at] === "0" ? "1" : "0") + ticket.slice(at + 1);
    assert.equal(await theirs.check(changed, "b-2"), null);
  }
  for (const noise of ["", "....", "a.b.c.d", "x".repeat(1_000)]) assert.equal(await theirs.check(noise, "b-2"), null);
  now += 59_000;
  assert.equal(await theirs.check(ticket, "b-2"), "a-1");
  now += 2_000;
  assert.equal(await theirs.check(ticket, "b-2"), null);
});
