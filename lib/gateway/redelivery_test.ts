import assert from "node:assert/strict";
import { openKv } from "@/lib/kv/open.ts";
import { Redelivery } from "./redelivery.ts";
import { Peer, register, startHub } from "./testing.ts";

Deno.test("what an isolate stored and did not hand over reaches a host that stays connected elsewhere", async () => {
  const kv = await openKv(":memory:");
  {
    await using isolate = await startHub(kv);
    await using host = await Peer.open(isolate, "relay", "ann");
    host.send(register("s"));
    await host.next("registered");
    const command = (op: string, at: number) => ({
      type: "command" as const,
      op,
      sessionId: "s",
      command: { kind: "cancel" as const },
      from: "Ann",
      at,
      expiresAt: Date.now() + 60_000,
    });
    // As an isolate leaves them that dies after it stored them; the second is on its way yet.
    await isolate.store.inbox.put("session:s", "ann", command("op-waits", Date.now() - 60_000));
    await isolate.store.inbox.put("session:s", "ann", command("op-new", Date.now() + 60_000));
    assert.deepEqual(await isolate.store.inbox.waiting(["session:idle", "session:s", "runner:none"]), ["session:s"]);
    const redelivery = new Redelivery(isolate.hub.gateways.context, 0);
    redelivery.soon();
    assert.equal((await host.next("command")).op, "op-waits");
    // Handed over by the same look, had it been handed over.
    await redelivery[Symbol.asyncDispose]();
    host.send({ type: "ping" });
    await host.next("pong");
    assert.equal(host.received.some(({ type }) => type === "command"), false);
  }
  kv.close();
});
