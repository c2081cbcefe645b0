import assert from "node:assert/strict";
import { deleteSession, startSession } from "@/lib/hub_sessions.ts";
import { openKv } from "@/lib/kv/open.ts";
import type { Principal } from "@/lib/principal.ts";
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { attachViewer, metaEvent, Peer, register, startHub, textEvent } from "./testing.ts";

const ann: Principal = { userId: "ann", userName: "ANN", credential: { kind: "key", id: "k" } };

function registerRunner(storedSessionIds: string[]) {
  return {
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId: "runner-1",
    name: "box",
    roots: ["/work"],
    agents: [{ id: "demo", name: "Demo agent", transport: "acp", available: true, isDemo: true }],
    version: "1.0.0",
    platform: "linux",
    sessionIds: [],
    storedSessionIds,
    warnings: [],
  };
}

/** Keys and values of the whole database that name the session in any way. */
async function traces(kv: Deno.Kv, sessionId: string): Promise<string[]> {
  const found: string[] = [];
  const decoder = new TextDecoder();
  for await (const { key, value } of kv.list({ prefix: [] })) {
    const text = value instanceof Uint8Array
      ? decoder.decode(value)
      : JSON.stringify(value, (_, part) =>
        typeof part === "bigint" ? `${part}` : part instanceof Deno.KvU64 ? `${part}` : part);
    // What isolates say to each other is removed when it has been read.
    if (key[0] !== "mailbox" && `${JSON.stringify(key)} ${text}`.includes(sessionId)) found.push(JSON.stringify(key));
  }
  return found;
}

Deno.test("deleting a session on one isolate leaves nothing of it anywhere, and its runner is told", async () => {
  const dir = await Deno.makeTempDir();
  const kv = await openKv(`${dir}/hub.db`);
  try {
    await using one = await startHub(kv);
    await using two = await startHub(kv);
    await using runner = await Peer.open(one, "runner", "ann");
    runner.send(registerRunner([]));
    await runner.next("runner_registered");
    const { sessionId } = await startSession(one.hub.gateways.context, ann, {
      runnerId: "runner-1",
      cwd: "/work",
      agent: { agentId: "demo" },
      prompt: "p".repeat(200_000),
    });
    await runner.next("command");
    await using host = await Peer.open(one, "relay", "ann");
    host.send(register(sessionId));
    const { epoch } = await host.next("registered");
    host.send(
      textEvent(sessionId, epoch, 1, "small"),
      textEvent(sessionId, epoch, 2, "L".repeat(300_000)),
      metaEvent(sessionId, epoch, 3, "title"),
    );
    await host.next("event_ack", ({ seq }) => seq === 3);
    await using viewer = await attachViewer(two, sessionId);
    viewer.send({ type: "viewer_visibility", visible: true, seenSeq: 2 });
    const attachments = [{ mediaType: "image/png", data: "A".repeat(150_000) }];
    viewer.send({
      type: "command",
      op: "op-1",
      sessionId,
      command: { kind: "prompt", text: "x", delivery: "prompt", attachments },
    });
    await host.next("command");
    await viewer.until(() => viewer.received.find(({ session }) => session?.viewerCount === 1), "its own presence");
    assert.ok((await traces(kv, sessionId)).length > 15);

    await deleteSession(two.hub.gateways.context, ann, sessionId);
    await host.next("session_expired");
    assert.equal((await runner.next("session_deleted")).sessionId, sessionId);
    assert.equal((await viewer.next("disconnected")).code, "session_deleted");
    await Promise.all([host.closed, viewer[Symbol.asyncDispose]()]);
    assert.deepEqual(await traces(kv, sessionId), []);

    // A runner that was away then, and still keeps its journal, is told when it comes; its host is refused.
    runner.send(registerRunner([sessionId, "another"]));
    assert.deepEqual((await runner.next("runner_registered")).deletedSessions, [sessionId]);
    await using late = await Peer.open(two, "relay", "ann");
    late.send(register(sessionId));
    await late.next("session_expired");
    await late.closed;
    assert.deepEqual(await traces(kv, sessionId), []);
  } finally {
    kv.close();
    await Deno.remove(dir, { recursive: true });
  }
});
