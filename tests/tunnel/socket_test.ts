/** WebSockets through a tunnel. */
import assert from "node:assert/strict";
import { eventually, within } from "../support/patience.ts";
import { openTunnelSocket as open } from "./socket_client.ts";
import { localServer, startRig } from "./support.ts";

Deno.test("tunnel - WebSockets", async (t) => {
  await using rig = await startRig();
  const localClosed: { resolve(event: CloseEvent): void } = { resolve() {} };
  await using local = localServer((req) => {
    if (req.url.endsWith("/plain")) return new Response("no socket here");
    const offered = req.headers.get("sec-websocket-protocol")?.split(/, */) ?? [];
    const about = JSON.stringify({
      host: req.headers.get("host"),
      origin: req.headers.get("origin"),
      cookie: req.headers.get("cookie"),
      path: new URL(req.url).pathname + new URL(req.url).search,
    });
    const { socket, response } = Deno.upgradeWebSocket(req, offered.includes("chat") ? { protocol: "chat" } : {});
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(about);
    socket.onclose = (event) => localClosed.resolve(event);
    socket.onmessage = ({ data }) => {
      const order = typeof data === "string" ? /^close (\d+) (.*)$/.exec(data) : null;
      if (order) socket.close(Number(order[1]), order[2]);
      else socket.send(data);
    };
    return response;
  });
  const tunnel = await rig.expose(local.port);
  await tunnel.ready("/plain");

  await t.step("subprotocol, text, binary, and what the local server sees", async () => {
    const { socket, next, closed } = await open(tunnel, "/ws?x=1", ["json", "chat"]);
    assert.equal(socket.protocol, "chat");
    assert.deepEqual(JSON.parse(await next() as string), {
      host: `localhost:${local.port}`,
      origin: `http://localhost:${local.port}`,
      cookie: null,
      path: "/ws?x=1",
    });
    socket.send("häll\u{1f426}");
    assert.equal(await next(), "häll\u{1f426}");
    socket.send(new Uint8Array([0, 255, 13, 10]));
    assert.deepEqual(await next(), new Uint8Array([0, 255, 13, 10]));
    socket.send("");
    assert.equal(await next(), "");
    socket.close(1000);
    await closed;
  });

  await t.step("many and large messages keep their order and bounds", async () => {
    const { socket, next, closed } = await open(tunnel, "/ws", []);
    await next();
    const large = new Uint8Array(5 * 1024 * 1024).map((_, index) => index * 31);
    socket.send(large);
    for (let i = 0; i < 500; i++) socket.send(`message ${i}`);
    assert.deepEqual(await next(), large);
    for (let i = 0; i < 500; i++) assert.equal(await next(), `message ${i}`);
    socket.close();
    await closed;
  });

  await t.step("close codes and reasons, from either side", async () => {
    const first = await open(tunnel, "/ws", []);
    await first.next();
    first.socket.send("close 4001 because");
    const { code, reason } = await within(first.closed, "the close");
    assert.deepEqual([code, reason], [4001, "because"]);
    const second = await open(tunnel, "/ws", []);
    await second.next();
    const seen = new Promise<CloseEvent>((resolve) => localClosed.resolve = resolve);
    second.socket.close(3123, "enough");
    const there = await within(seen, "the close at the local server");
    assert.deepEqual([there.code, there.reason], [3123, "enough"]);
    await second.closed;
  });

  await t.step("what is no WebSocket there is none here; pages of other origins open none", async () => {
    await assert.rejects(open(tunnel, "/plain", []));
    // Neither has that ended anything else.
    assert.equal((await tunnel.ask("GET", "/plain")).status, 200);
    await assert.rejects(open(tunnel, "/ws", [], { origin: "http://evil.example" }));
    await assert.rejects(open(tunnel, "/ws", [], { origin: rig.hub.url }));
    await assert.rejects(open(tunnel, "/ws", [], { origin: "null" }));
    await assert.rejects(open(tunnel, "/ws", [], { cookie: "perch_tunnel=x" }));
  });

  await t.step("clients that leave while their socket is being opened leave nothing behind", async () => {
    const clients = 10;
    const asked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    let waiting = 0;
    await using slow = localServer(async (req) => {
      if (!req.headers.has("upgrade")) return new Response("here");
      if (++waiting === clients) asked.resolve();
      await released.promise;
      // The runner has left, too.
      return new Response(null, { status: 400 });
    });
    const other = await rig.expose(slow.port, { bounds: { connections: clients } });
    const head = [
      "GET / HTTP/1.1",
      `Host: ${other.host}`,
      `Cookie: ${other.cookie}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ].join("\r\n") + "\r\n\r\n";
    const connections = await Promise.all(Array.from({ length: clients }, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: rig.hub.port });
      await connection.write(new TextEncoder().encode(head));
      return connection;
    }));
    try {
      await within(asked.promise, "the sockets at the local server");
      assert.equal((await other.ask("GET", "/")).status, 503, "all places are taken");
      for (const connection of connections) connection.close();
      await eventually(async () => (await other.ask("GET", "/")).status === 200, "a free place");
    } finally {
      released.resolve();
    }
    await eventually(async () => await rig.hub.metric("perch_link_streams") === 0, "no stream on the link");
  });

  await t.step("closing the tunnel closes its sockets", async () => {
    const { next, closed } = await open(tunnel, "/ws", []);
    await next();
    await rig.hub.api("DELETE", `/api/tunnels/${tunnel.tunnelId}`);
    const { code } = await within(closed, "the close");
    assert.equal(code, 4011);
  });
});
