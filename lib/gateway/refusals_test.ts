/** What every namespace refuses, and how: a typed error or a count, never a crash, never silence. */
import assert from "node:assert/strict";
import { closeCodes, limits, PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { Namespace } from "./connection.ts";
import { isOversize } from "./connection.ts";
import { Peer, startHub } from "./testing.ts";
import { checkOrigin } from "./upgrade.ts";

const namespaces: Namespace[] = ["relay", "runner", "viewer", "hub", "runners"];
const upgradeHeaders = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
};

/** The status line and body of an upgrade request, over plain TCP: `fetch` may not set these headers. */
async function requestUpgrade(host: string, namespace: string, headers: Record<string, string>) {
  const [hostname, port] = host.split(":");
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const lines = Object.entries({ host, ...upgradeHeaders, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  await conn.write(new TextEncoder().encode(`GET /ws/${namespace} HTTP/1.1\r\n${lines.join("")}\r\n`));
  const chunk = new Uint8Array(16_384);
  const read = await conn.read(chunk) ?? 0;
  const text = new TextDecoder().decode(chunk.subarray(0, read));
  const status = Number(text.split(" ")[1]);
  return { status, error: status === 101 ? null : JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)).error };
}

for (const namespace of namespaces) {
  Deno.test(`/ws/${namespace} refuses a missing credential, another's origin and a foreign host before the upgrade`, async () => {
    using kv = await Deno.openKv(":memory:");
    await using hub = await startHub(kv);
    const authorization = "Bearer key-ann";
    const { status, error } = await requestUpgrade(hub.host, namespace, {});
    assert.deepEqual([status, error.code], [401, "unauthorized"]);
    const wrong = await requestUpgrade(hub.host, namespace, { authorization: "Bearer no" });
    assert.equal(wrong.status, 401);
    const foreign = await requestUpgrade(hub.host, namespace, { authorization, origin: "https://evil.example" });
    assert.deepEqual([foreign.status, foreign.error.code], [403, "foreign_origin"]);
    const rebound = await requestUpgrade(hub.host, namespace, { authorization, host: "evil.example" });
    assert.deepEqual([rebound.status, rebound.error.code], [403, "foreign_host"]);
    const own = await requestUpgrade(hub.host, namespace, { authorization, origin: `http://${hub.host}` });
    assert.equal(own.status, 101);
    const cookie = await requestUpgrade(hub.host, namespace, { cookie: "session=ann", origin: `http://${hub.host}` });
    assert.equal(cookie.status, namespace === "relay" || namespace === "runner" ? 401 : 101);
  });

  Deno.test(`/ws/${namespace} answers malformed frames with typed errors, counts unknown types and stays open`, async () => {
    using kv = await Deno.openKv(":memory:");
    await using hub = await startHub(kv);
    await using peer = await Peer.open(hub, namespace, "ann");
    const next = async () => {
      const { code, field } = await peer.next("error");
      return [code, field];
    };
    peer.socket.send("{not json");
    assert.deepEqual(await next(), ["bad_frame", undefined]);
    peer.socket.send(new Uint8Array([1, 2, 3]));
    assert.deepEqual(await next(), ["bad_frame", undefined]);
    peer.socket.send("[1]");
    assert.deepEqual(await next(), ["bad_frame", "type"]);
    peer.socket.send(JSON.stringify({ type: "ping", at: "soon" }));
    assert.deepEqual(await next(), ["invalid_message", "at"]);
    peer.send({ type: "from_the_future" }, { type: "another" }, { type: "ping", at: 7 });
    assert.equal((await peer.next("pong")).at, 7);
    assert.equal(hub.hub.counters.get("unknown_types", namespace), 2);
  });

  Deno.test(`/ws/${namespace} refuses an oversize frame, in bytes, and closes`, async () => {
    using kv = await Deno.openKv(":memory:");
    await using hub = await startHub(kv);
    await using peer = await Peer.open(hub, namespace, "ann");
    // Half as many characters as bytes: UTF-8 decides.
    peer.socket.send(JSON.stringify({ type: "ping", note: "é".repeat(limits.frameBytes / 2) }));
    assert.equal((await peer.next("error")).code, "too_large");
    assert.equal((await peer.closed).code, closeCodes.protocolError);
  });

  Deno.test(`/ws/${namespace} tells another protocol version so and closes`, async () => {
    using kv = await Deno.openKv(":memory:");
    await using hub = await startHub(kv);
    const headers = { authorization: "Bearer key-ann" };
    const query = `?protocolVersion=${PROTOCOL_VERSION + 1}`;
    await using other = await Peer.open(hub, namespace, "ann", headers, query);
    assert.equal((await other.next("error")).code, "protocol_version");
    assert.equal((await other.closed).code, closeCodes.protocolVersion);
    for (const version of [String(PROTOCOL_VERSION), "", "newest"]) {
      await using same = await Peer.open(hub, namespace, "ann", headers, `?protocolVersion=${version}`);
      same.send({ type: "ping" });
      await same.next("pong");
    }
  });
}

Deno.test("a peer that sends nothing but rubbish is told so once more and closed", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  await using peer = await Peer.open(hub, "viewer", "ann");
  let code = "bad_frame";
  while (code === "bad_frame") {
    peer.socket.send("{");
    ({ code } = await peer.next("error"));
  }
  assert.equal(code, "rate_limited");
  assert.equal((await peer.closed).code, closeCodes.protocolError);
});

Deno.test("bytes of UTF-8 are counted, not characters", () => {
  const characters = limits.frameBytes / 2;
  assert.equal(isOversize("é".repeat(characters)), false);
  assert.equal(isOversize("é".repeat(characters) + "e"), true);
  assert.equal(isOversize("😀".repeat(limits.frameBytes / 4)), false);
  assert.equal(isOversize("😀".repeat(limits.frameBytes / 4) + "e"), true);
  assert.equal(isOversize("e".repeat(limits.frameBytes)), false);
  assert.equal(isOversize("e".repeat(limits.frameBytes) + "e"), true);
});

Deno.test("hosts and origins: addresses, localhost, the public URL and configured names are the hub's own", () => {
  const verdict = (host: string, origin?: string) => {
    const req = new Request(`http://${host}/ws/viewer`, { headers: { host, ...(origin ? { origin } : {}) } });
    const config = { publicUrl: "https://perch.example", hostNames: ["MyBox"] };
    const result = checkOrigin(req, config);
    return result.ok ? "ok" : result.code;
  };
  assert.equal(verdict("127.0.0.1:7700", "http://127.0.0.1:7700"), "ok");
  assert.equal(verdict("[::1]:7700", "http://[::1]:7700"), "ok");
  assert.equal(verdict("localhost:7700"), "ok");
  assert.equal(verdict("mybox:7700", "http://mybox:7700"), "ok");
  assert.equal(verdict("perch.example", "https://perch.example"), "ok");
  assert.equal(verdict("127.0.0.1:7700", "https://perch.example"), "ok");
  assert.equal(verdict("127.0.0.1:7700", "http://127.0.0.1:7701"), "foreign_origin");
  assert.equal(verdict("127.0.0.1:7700", "null"), "foreign_origin");
  assert.equal(verdict("evil.example"), "foreign_host");
});
