/** Who may open what: upgrades without, with a wrong, another's or a revoked credential, from another site, to another Host. */
import assert from "node:assert/strict";
import { closeCodes, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { type HubProcess, startHub } from "../support/hub.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { bearer, type Namespace, Peer, tryUpgrade } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";

const namespaces: Namespace[] = ["relay", "runner", "viewer", "hub", "runners"];
/** A browser's cookie does not open these. */
const keyOnly: Namespace[] = ["relay", "runner"];

Deno.test("upgrades are refused with a typed error unless everything is right", async (t) => {
  await using hub = await startHub();
  for (const namespace of namespaces) {
    await t.step(namespace, async () => {
      const path = `/ws/${namespace}?protocolVersion=${PROTOCOL_VERSION}`;
      const refused = async (headers: Record<string, string>, status: number, code: string) =>
        assert.deepEqual(await tryUpgrade(hub, path, headers), { status, code }, JSON.stringify(headers));
      const key = bearer(hub.apiKey);
      await refused({}, 401, "unauthorized");
      await refused(bearer("perch_wrong"), 401, "unauthorized");
      await refused(bearer(hub.apiKey + "x"), 401, "unauthorized");
      await refused(bearer(""), 401, "unauthorized");
      await refused({ authorization: `Basic ${btoa(`ann:${hub.apiKey}`)}` }, 401, "unauthorized");
      await refused({ cookie: hub.cookie.replace(/.$/, "") }, 401, "unauthorized");
      await refused({ ...key, origin: "http://evil.example" }, 403, "foreign_origin");
      await refused({ ...key, origin: "null" }, 403, "foreign_origin");
      await refused({ ...key, origin: `http://localhost:${hub.port + 1}` }, 403, "foreign_origin");
      await refused({ ...key, host: "evil.example" }, 403, "foreign_host");
      await refused({ cookie: hub.cookie, origin: "http://evil.example" }, 403, "foreign_origin");
      if (keyOnly.includes(namespace)) {
        await refused({ cookie: hub.cookie, origin: hub.url }, 401, "unauthorized");
      } else {
        assert.deepEqual(await tryUpgrade(hub, path, { cookie: hub.cookie, origin: hub.url }), { status: 101 });
      }
      assert.deepEqual(await tryUpgrade(hub, path, { ...key, origin: hub.url }), { status: 101 });
      assert.deepEqual(await tryUpgrade(hub, path, key), { status: 101 });
      // No token in a URL's query.
      const inQuery = await tryUpgrade(hub, `${path}&token=${hub.apiKey}&apiKey=${hub.apiKey}`, {});
      assert.deepEqual(inQuery, { status: 401, code: "unauthorized" });
      const plain = await hub.fetch(path, { headers: key });
      assert.equal(plain.status, 400);
      assert.equal((await plain.json()).error.code, "not_websocket");
      await using other = await openVersion(hub, namespace, PROTOCOL_VERSION + 1);
      assert.equal((await other.next("error")).code, "protocol_version");
      assert.equal((await other.closed).code, closeCodes.protocolVersion);
    });
  }
  assert.equal((await hub.health())?.status, "ok");
});

/** A socket that says it speaks another protocol version. */
function openVersion(hub: HubProcess, namespace: Namespace, version: number): Promise<Peer> {
  return Peer.open(hub, namespace, bearer(hub.apiKey), version);
}

Deno.test("another user's session and runner answer as not found, everywhere", async (t) => {
  await using hub = await startHub();
  const bob = await hub.invite("Bob");
  await using host = new ScriptedProducer(hub, { runnerId: "anns-runner" });
  host.say("Ann's secret");
  await host.settled();
  const { sessionId } = host;
  await using viewer = new ScriptedViewer(hub, sessionId);
  await viewer.live();
  await using runner = await Peer.open(hub, "runner");
  const registration = {
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId: "anns-runner",
    name: "Ann's",
    roots: ["/work"],
    agents: [],
    version: "0.1.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  };
  runner.send(registration);
  await runner.next("runner_registered");

  await t.step("on the viewer socket", async () => {
    for (const headers of [{ cookie: bob.cookie }, bearer(bob.apiKey)]) {
      await using peer = await Peer.open(hub, "viewer", headers);
      const unknown = "no-such-session";
      for (const target of [sessionId, unknown]) {
        peer.send({ type: "switch_session", sessionId: target, generation: 1 });
        const attach = await peer.next("error");
        peer.send({ type: "load_messages", sessionId: target, generation: 1, before: 10, limit: 10 });
        const page = await peer.next("error");
        peer.send({ type: "command", op: crypto.randomUUID(), sessionId: target, command: { kind: "cancel" } });
        const command = await peer.next("error");
        assert.deepEqual([attach.code, page.code, command.code], ["not_found", "not_found", "not_found"]);
        // Nothing tells a session that is another's from one that is not there.
        assert.equal(attach.message.replace(target, "…"), page.message.replace(target, "…"));
      }
      assert.deepEqual(peer.received, []);
    }
  });

  await t.step("on the relay socket", async () => {
    await using peer = await Peer.open(hub, "relay", bearer(bob.apiKey));
    peer.send({
      type: "register",
      protocolVersion: PROTOCOL_VERSION,
      sessionId,
      runnerId: "bobs-runner",
      logId: crypto.randomUUID(),
      lastSeq: 0,
      cwd: "/work",
      sessionName: null,
      agent: { id: "custom", name: "Scripted" },
      startedAt: 1,
    });
    assert.equal((await peer.next("error")).code, "not_found");
  });

  await t.step("on the runner socket", async () => {
    await using peer = await Peer.open(hub, "runner", bearer(bob.apiKey));
    peer.send(registration);
    assert.equal((await peer.next("error")).code, "not_found");
    peer.send({ ...registration, runnerId: "bobs-runner" });
    await peer.next("runner_registered");
    peer.send({ type: "session_killed", sessionId, end: { reason: "lost", at: 1 } });
    assert.equal((await peer.next("error")).code, "not_found");
  });

  await t.step("on the lists", async () => {
    await using sessions = await Peer.open(hub, "hub", bearer(bob.apiKey));
    assert.deepEqual((await sessions.next("sessions")).sessions, []);
    await using runners = await Peer.open(hub, "runners", bearer(bob.apiKey));
    const ids = (await runners.next("runners")).runners.map(({ runnerId }: { runnerId: string }) => runnerId);
    assert.equal(ids.includes("anns-runner"), false);
  });

  await t.step("over REST", async () => {
    const json = { method: "POST", body: "{}" };
    const requests: [string, RequestInit][] = [
      [`/api/sessions/${sessionId}`, {}],
      [`/api/sessions/${sessionId}`, { method: "DELETE" }],
      [`/api/sessions/${sessionId}/entries`, {}],
      [`/api/sessions/${sessionId}/kill`, json],
      [`/api/sessions/${sessionId}/resume`, json],
      [`/api/sessions/${sessionId}/commands`, {
        ...json,
        body: JSON.stringify({ op: "op-1", command: { kind: "cancel" } }),
      }],
      [`/api/sessions/${sessionId}/commands/op-1`, {}],
      [`/api/runners/anns-runner/files?path=/work`, {}],
      [`/api/runners/anns-runner/agents`, json],
      [`/api/runners/anns-runner`, { method: "DELETE" }],
      ["/api/sessions", {
        ...json,
        body: JSON.stringify({ runnerId: "anns-runner", cwd: "/work", agent: { agentId: "demo" } }),
      }],
    ];
    for (const headers of [{ cookie: bob.cookie }, bearer(bob.apiKey)]) {
      for (const [path, init] of requests) {
        const response = await hub.fetch(path, { ...init, headers });
        const text = await response.text();
        assert.match(
          response.headers.get("content-type") ?? "",
          /^application\/json/,
          `${init.method ?? "GET"} ${path}`,
        );
        const body = JSON.parse(text);
        assert.equal(response.status, 404, `${init.method ?? "GET"} ${path}: ${JSON.stringify(body)}`);
        assert.equal(body.error.code, "not_found", path);
        assert.equal(text.includes("secret"), false);
      }
    }
  });

  await t.step("and Ann's own stream went on", async () => {
    host.say("still here");
    await viewer.until(() => viewer.timeline.cursor?.seq === host.lastSeq, "the next record");
    assert.equal(host.counts.connects, 1);
    assert.equal(viewer.counts.connects, 1);
    assert.equal(viewer.info?.ended, null);
  });
});

Deno.test("a revoked credential closes its live sockets with 4001, and no other's", async (t) => {
  await using hub = await startHub();
  await using kept = await Peer.open(hub, "viewer");

  await t.step("an API key", async () => {
    const { id, key } = await hub.makeKey(hub.person, "to be revoked");
    const peers = await Promise.all(namespaces.map((namespace) => Peer.open(hub, namespace, bearer(key))));
    await hub.api("DELETE", `/api/keys/${id}`);
    for (const peer of peers) {
      await peer.next("error", (error) => error.code === "unauthorized");
      assert.equal((await peer.closed).code, closeCodes.unauthorized);
    }
    const path = `/ws/relay?protocolVersion=${PROTOCOL_VERSION}`;
    assert.deepEqual(await tryUpgrade(hub, path, bearer(key)), { status: 401, code: "unauthorized" });
    assert.equal((await hub.fetch("/api/sessions", { headers: bearer(key) })).status, 401);
  });

  await t.step("a signed-out browser", async () => {
    const carol = await hub.invite("Carol");
    const opened = namespaces.filter((namespace) => !keyOnly.includes(namespace));
    const peers = await Promise.all(opened.map((namespace) => Peer.open(hub, namespace, { cookie: carol.cookie })));
    await using byKey = await Peer.open(hub, "hub", bearer(carol.apiKey));
    await hub.api("POST", "/api/auth/sign-out", {}, carol);
    for (const peer of peers) assert.equal((await peer.closed).code, closeCodes.unauthorized);
    assert.equal(byKey.isClosed, false);
  });

  kept.send({ type: "ping" });
  await kept.next("pong");
});
