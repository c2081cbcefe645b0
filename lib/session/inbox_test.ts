import assert from "node:assert/strict";
import { type DeliveredCommand, limits } from "@/protocol/mod.ts";
import { InboxTargetError } from "./errors.ts";
import { allKeys, registered, registerOf, runnerOf, withStore } from "./testing.ts";
import { InboxFullError } from "./types.ts";

const target = "session:s" as const;

function prompt(op: string, over: Partial<DeliveredCommand> = {}): DeliveredCommand {
  return {
    type: "command",
    op,
    sessionId: "s",
    command: { kind: "prompt", text: `do ${op}`, delivery: "prompt" },
    from: "Me",
    at: 1_000_000,
    expiresAt: 2_000_000,
    ...over,
  };
}

Deno.test("commands wait in order until a receipt settles them, once", async () => {
  await withStore(async ({ store }) => {
    const { inbox } = store;
    await assert.rejects(inbox.put(target, "u", prompt("a")), InboxTargetError);
    await registered(store, "u", registerOf("s"));
    const accepted = await inbox.put(target, "u", prompt("a"));
    assert.deepEqual(accepted, {
      type: "command_status",
      op: "a",
      sessionId: "s",
      status: "accepted",
      command: prompt("a").command,
      from: "Me",
      at: 1_000_000,
    });
    // All at once, some twice.
    await Promise.all(["b", "c", "b", "d", "c"].map((op) => inbox.put(target, "u", prompt(op))));
    const waiting = (await inbox.pending(target)).map(({ op }) => op);
    assert.equal(waiting[0], "a");
    assert.deepEqual(waiting.toSorted(), ["a", "b", "c", "d"]);
    assert.deepEqual(await inbox.pending(target).then((all) => all[0]), prompt("a"));
    assert.equal((await inbox.settle(target, "b", "rejected", "busy"))?.reason, "busy");
    assert.equal(await inbox.settle(target, "b", "applied"), null);
    assert.equal(await inbox.settle(target, "unknown", "applied"), null);
    assert.equal((await inbox.put(target, "u", prompt("b"))).status, "rejected");
    assert.deepEqual((await inbox.pending(target)).map(({ op }) => op), waiting.filter((op) => op !== "b"));
    assert.equal((await inbox.status(target, "a"))?.status, "accepted");
    assert.equal((await inbox.status(target, "b"))?.status, "rejected");
    assert.equal(await inbox.status(target, "unknown"), null);
  });
});

Deno.test("a command expires, and a full inbox says so", async () => {
  await withStore(async ({ store, clock }) => {
    const { inbox } = store;
    await registered(store, "u", registerOf("s"));
    for (let n = 0; n < limits.inboxCommands; n++) await inbox.put(target, "u", prompt(`op${n}`));
    await assert.rejects(inbox.put(target, "u", prompt("more")), InboxFullError);
    assert.equal((await inbox.put(target, "u", prompt("op3"))).status, "accepted");
    clock.now = 2_000_000;
    assert.equal((await inbox.status(target, "op3"))?.status, "expired");
    assert.equal((await inbox.put(target, "u", prompt("more", { expiresAt: 3_000_000 }))).status, "accepted");
    assert.deepEqual((await inbox.pending(target)).map(({ op }) => op), ["more"]);
    assert.match((await inbox.status(target, "op0"))?.reason ?? "", /did not connect/);
  });
});

Deno.test("a command with attachments of megabytes is kept whole and leaves nothing", async () => {
  await withStore(async ({ kv, store }) => {
    const { inbox, runners } = store;
    await runners.register("u", "iso", runnerOf("r"));
    const attachments = [{ mediaType: "image/png", data: "A".repeat(3 * 1024 * 1024) }];
    const command = prompt("big", { command: { kind: "prompt", text: "see", delivery: "prompt", attachments } });
    await inbox.put("runner:r", "u", command);
    assert.deepEqual(await inbox.pending("runner:r"), [command]);
    await inbox.settle("runner:r", "big", "applied");
    assert.deepEqual((await allKeys(kv, ["runner", "r", "inbox"])).map((key) => key[3]), ["head", "op"]);
  });
});
