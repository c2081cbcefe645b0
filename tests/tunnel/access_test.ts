/** Who and how much may pass: hosts that a runner's owner allows, limits, ends of access while something is under way, and the log. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { PASSWORD, type Person } from "../support/hub.ts";
import { Changes, eventually, within } from "../support/patience.ts";
import { openTunnelSocket } from "./socket_client.ts";
import { answerOf, localServer, type Rig, startRig, TunnelClient, wholeOf } from "./support.ts";

type Entry = { path: string; status: number | null; bytes: number; ms: number | null; who: string };

async function logOf(rig: Rig, { tunnelId }: TunnelClient): Promise<Entry[]> {
  return (await rig.hub.api("GET", `/api/tunnels/${tunnelId}/log`)).entries;
}

/** A new sign-in of the hub's first person. */
async function signIn({ hub }: Rig): Promise<Person> {
  const answer = await hub.fetch("/api/auth/sign-in/email", {
    method: "POST",
    body: JSON.stringify({ email: "ann@perch.test", password: PASSWORD }),
    headers: { cookie: "none=1" },
  });
  assert.equal(answer.status, 200, await answer.text());
  return { ...hub.person, cookie: answer.headers.getSetCookie().map((set) => set.split(";")[0]).join("; ") };
}

async function openSocket(tunnel: TunnelClient, path: string): Promise<WebSocket> {
  return (await openTunnelSocket(tunnel, path, [])).socket;
}

/** A local server with a download and an upload that do not end by themselves, and a WebSocket. */
function endlessServer() {
  const uploads = new Changes();
  const seen = { uploaded: 0, cut: 0 };
  const server = localServer(async (req) => {
    if (req.headers.get("upgrade") === "websocket") {
      const { socket, response } = Deno.upgradeWebSocket(req);
      socket.onerror = (event) => event.preventDefault();
      return response;
    }
    if (req.method === "POST") {
      try {
        for await (const chunk of req.body!) {
          seen.uploaded += chunk.byteLength;
          uploads.notify();
        }
      } catch {
        seen.cut++;
        uploads.notify();
      }
      return new Response("got it");
    }
    const chunk = new Uint8Array(1_024);
    let timer: ReturnType<typeof setInterval>;
    return new Response(
      new ReadableStream({
        start: (controller) => void (timer = setInterval(() => controller.enqueue(chunk), 5)),
        cancel: () => clearInterval(timer),
      }),
    );
  });
  return { ...server, port: server.port, uploads, seen, [Symbol.asyncDispose]: server[Symbol.asyncDispose] };
}

/** A download, an upload and a WebSocket under way; resolves with how each of them ends. */
async function underWay(client: TunnelClient, local: ReturnType<typeof endlessServer>): Promise<Promise<string>[]> {
  const download = client.request("GET", "/download");
  const answered = answerOf(download);
  download.end();
  const answer = await within(answered, "the download's head");
  const { uploaded } = local.seen;
  const upload = client.request("POST", "/upload", { "transfer-encoding": "chunked" });
  const uploadAnswer = answerOf(upload).then(wholeOf);
  upload.write("a first piece");
  await local.uploads.until(() => local.seen.uploaded > uploaded, "the upload's first piece");
  const socket = await openSocket(client, "/socket");
  return [
    wholeOf(answer).then(() => "ended", () => "cut"),
    // What remains to be answered is a page that says so, or nothing.
    uploadAnswer.then(({ status, text }) => text === "got it" ? "ended" : status >= 400 ? "cut" : text, () => "cut"),
    new Promise((resolve) => socket.onclose = ({ code }) => resolve(code === 1000 ? "ended" : "cut")),
  ];
}

Deno.test("tunnel - hosts that the runner's owner allows, and no others", async () => {
  // Another address of this machine, on which nothing of a runner listens: as far as tunnels go it is another host.
  const other = Deno.serve(
    { hostname: "127.0.0.2", port: 0, onListen() {} },
    (req) => new Response(`on the other host as ${req.headers.get("host")}`),
  );
  const { port } = other.addr;
  await using rig = await startRig({
    runner: { args: ["--tunnel-host", "127.0.0.2", "--tunnel-host", "allowed.test"] },
  });
  const allowed = await rig.expose(port, { host: "127.0.0.2", name: "other" });
  await allowed.ready();
  assert.equal((await allowed.ask("GET", "/")).text, `on the other host as 127.0.0.2:${port}`);
  const { tunnels } = await rig.hub.api("GET", "/api/tunnels");
  assert.deepEqual([tunnels[0].host, tunnels[0].name], ["127.0.0.2", "other"]);
  for (const host of ["127.0.0.3", "127.0.0.2.test", "0x7f000002", "2130706434", "::ffff:127.0.0.2"]) {
    const refused = rig.hub.api("POST", "/api/tunnels", { runnerId: rig.runner.runnerId, port, host });
    await assert.rejects(refused, /409.*this machine only/, host);
  }
  // The same port without the host is this machine's own, where nothing listens.
  const own = await rig.expose(port);
  const nothing = await own.ask("GET", "/");
  assert.deepEqual([nothing.status, /nothing answers on port/.test(nothing.text)], [502, true]);
  // A name that is allowed and leads nowhere is said, and is no way to anywhere else.
  const nowhere = await rig.expose(port, { host: "allowed.test" });
  assert.equal((await nowhere.ask("GET", "/")).status, 502);
  await other.shutdown();
});

/** Every way in which access ends, with a download, an upload and a WebSocket under way. */
async function testEnds(t: Deno.TestContext, isolates: number): Promise<void> {
  await using rig = await startRig({ isolates });
  const { hub } = rig;
  await using local = endlessServer();
  const tunnel = await rig.expose(local.port);
  await eventually(async () => (await tunnel.ask("POST", "/ready", { body: "x" })).status === 200, "the link");
  const guest = async (more: object): Promise<[TunnelClient, string]> => {
    const { share, url } = await hub.api("POST", `/api/tunnels/${tunnel.tunnelId}/shares`, more);
    const client = new TunnelClient(hub, tunnel.tunnelId);
    assert.equal((await client.post({ share: new URL(url).hash.slice("#share=".length) })).status, 204);
    return [client, share.shareId];
  };
  const ends = async (client: TunnelClient, end: () => Promise<unknown>, status: number) => {
    const outcomes = await underWay(client, local);
    const bystander = await openSocket(tunnel, "/bystander");
    await end();
    assert.deepEqual(await within(Promise.all(outcomes), "the cuts"), ["cut", "cut", "cut"]);
    assert.equal((await client.ask("GET", "/")).status, status);
    if (status === 401) assert.equal(bystander.readyState, WebSocket.OPEN, "who came another way goes on");
    bystander.close();
  };

  await t.step("a share link is removed", async () => {
    const [client, shareId] = await guest({ name: "Bob" });
    await ends(client, () => hub.api("DELETE", `/api/tunnels/${tunnel.tunnelId}/shares/${shareId}`), 401);
  });
  await t.step("a share link expires", async () => {
    const [client] = await guest({ ttlMs: 3_000 });
    await ends(client, () => Promise.resolve(), 401);
  });
  await t.step("the sign-in ends", async () => {
    const person = await signIn(rig);
    const client = new TunnelClient(hub, tunnel.tunnelId);
    assert.equal((await client.post({ ticket: await client.ticket(person) })).status, 204);
    await ends(client, () => hub.fetch("/api/auth/sign-out", { method: "POST", body: "{}", person }), 401);
  });
  await t.step("an API key is revoked, in the path form", async () => {
    const sessionId = await rig.runner.startSession({ agentId: "demo" });
    await hub.api("POST", "/api/tunnels", { runnerId: rig.runner.runnerId, port: local.port, sessionId });
    const { id, key } = await hub.api("POST", "/api/keys", { name: "script" });
    const ask = () =>
      fetch(`${hub.url}/api/tunnel/${sessionId}/${local.port}/download`, {
        headers: { authorization: `Bearer ${key}` },
      });
    const answer = await ask();
    assert.equal(answer.status, 200);
    const outcome = answer.arrayBuffer().then(() => "ended", () => "cut");
    await hub.api("DELETE", `/api/keys/${id}`);
    assert.equal(await within(outcome, "the cut"), "cut");
    const refused = await ask();
    assert.equal(refused.status, 401);
    await refused.body?.cancel();
  });
  await t.step("the tunnel expires", async () => {
    await using brief = endlessServer();
    const client = await rig.expose(brief.port, { ttlMs: 3_000 });
    const outcomes = await underWay(client, brief);
    assert.deepEqual(await within(Promise.all(outcomes), "the cuts"), ["cut", "cut", "cut"]);
    assert.equal((await client.ask("GET", "/")).status, 404);
  });
  await t.step(
    "the tunnel is closed",
    () => ends(tunnel, () => hub.api("DELETE", `/api/tunnels/${tunnel.tunnelId}`), 404),
  );
  await t.step("the session or the runner is deleted", async () => {
    const sessionId = await rig.runner.startSession({ agentId: "demo" });
    await eventually(async () => (await hub.api("GET", "/api/sessions")).sessions.length > 0, "the session");
    await using other = endlessServer();
    const client = await rig.expose(other.port, { sessionId });
    const outcomes = await underWay(client, other);
    await hub.api("DELETE", `/api/sessions/${sessionId}`);
    assert.deepEqual(await within(Promise.all(outcomes), "the cuts"), ["cut", "cut", "cut"]);
    assert.equal((await client.ask("GET", "/")).status, 404);
    await using last = endlessServer();
    const ofRunner = await rig.expose(last.port);
    const ofRunnerOutcomes = await underWay(ofRunner, last);
    await hub.api("DELETE", `/api/runners/${rig.runner.runnerId}`);
    assert.deepEqual(await within(Promise.all(ofRunnerOutcomes), "the cuts"), ["cut", "cut", "cut"]);
    assert.equal((await ofRunner.ask("GET", "/")).status, 404);
  });
}

for (const isolates of [1, 2]) {
  const where = isolates === 1 ? "" : ", on whatever isolate";
  Deno.test(`tunnel - what is under way is cut when the access to it ends${where}`, (t) => testEnds(t, isolates));
}

Deno.test("tunnel - limits", async (t) => {
  await using rig = await startRig();
  const { hub } = rig;

  await t.step("bytes pass at the rate, up and down, and arrive as they are", async () => {
    const body = crypto.getRandomValues(new Uint8Array(64 * 1024));
    const large = new Uint8Array(8 * body.byteLength).map((_, index) => body[index % body.byteLength]!);
    const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    await using local = localServer(async (req) => {
      if (req.method === "GET") return new Response(large);
      return new Response(digest(new Uint8Array(await req.arrayBuffer())));
    });
    const bytesPerS = 400_000;
    const tunnel = await rig.expose(local.port, { bounds: { bytesPerS } });
    await tunnel.ready("/");
    for (const method of ["GET", "POST"]) {
      const request = tunnel.request(method, "/", method === "GET" ? {} : { "content-length": large.byteLength });
      const startedMs = performance.now();
      const answered = answerOf(request);
      request.end(method === "GET" ? undefined : large);
      const answer = await within(answered, "the head");
      const got = new Uint8Array(await new Response(ReadableStream.from(answer) as ReadableStream).arrayBuffer());
      const tookMs = performance.now() - startedMs;
      if (method === "GET") assert.equal(digest(got), digest(large));
      else assert.equal(new TextDecoder().decode(got), digest(large));
      // However slow this machine is: no more than the rate allows, with the burst and a piece that is let through whole.
      const allowed = bytesPerS * (tookMs + 100) / 1_000 + 128 * 1_024;
      assert.ok(large.byteLength <= allowed, `${method}: ${large.byteLength} bytes in ${tookMs} ms`);
    }
  });

  await t.step("a WebSocket is held to the rate, too", async () => {
    const message = new Uint8Array(100_000);
    await using local = localServer((req) => {
      const { socket, response } = Deno.upgradeWebSocket(req);
      socket.onopen = () => {
        for (let count = 0; count < 5; count++) socket.send(message);
      };
      return response;
    });
    const bytesPerS = 400_000;
    const tunnel = await rig.expose(local.port, { bounds: { bytesPerS } });
    const startedMs = performance.now();
    const { socket, next } = await openTunnelSocket(tunnel, "/");
    for (let count = 0; count < 5; count++) assert.equal((await next()).length, message.byteLength);
    const allowed = bytesPerS * (performance.now() - startedMs + 100) / 1_000 + 128 * 1_024;
    assert.ok(5 * message.byteLength <= allowed);
    socket.close();
  });

  await t.step(
    "sockets and requests share the connections; what is too many is told, logged, and taken back",
    async () => {
      await using local = localServer((req) => {
        if (req.headers.get("upgrade") !== "websocket") return new Response("ok");
        const { socket, response } = Deno.upgradeWebSocket(req);
        socket.onerror = (event) => event.preventDefault();
        return response;
      });
      const tunnel = await rig.expose(local.port, { bounds: { connections: 1 } });
      const socket = await openSocket(tunnel, "/socket");
      const busy = await tunnel.ask("GET", "/page");
      assert.deepEqual([busy.status, busy.headers["retry-after"]], [503, "1"]);
      assert.match(busy.text, /this tunnel carries 1 requests at once/);
      await assert.rejects(openSocket(tunnel, "/second"));
      assert.deepEqual((await logOf(rig, tunnel)).filter(({ status }) => status === 503).map(({ path }) => path), [
        "/second",
        "/page",
      ]);
      // More may pass as soon as the owner says so, with what is under way left alone.
      await hub.api("PATCH", `/api/tunnels/${tunnel.tunnelId}`, { bounds: { connections: 2 } });
      await eventually(async () => (await tunnel.ask("GET", "/page")).text === "ok", "the new bound");
      assert.equal(socket.readyState, WebSocket.OPEN);
      await hub.api("PATCH", `/api/tunnels/${tunnel.tunnelId}`, { bounds: { connections: 1 } });
      await eventually(async () => (await tunnel.ask("GET", "/page")).status === 503, "the old bound");
      socket.close();
      await eventually(async () => (await tunnel.ask("GET", "/page")).text === "ok", "the freed place");
    },
  );

  await t.step("a limit that is none is refused by the name of its field", async () => {
    const tunnel = await rig.expose(8_080);
    const cases: [object, RegExp][] = [
      [{ bounds: { bytesPerS: 10 } }, /400.*bounds\.bytesPerS: must be at least 1000 bytes a second/],
      [{ bounds: { bytesPerS: "2MB" } }, /400.*bounds\.bytesPerS: must be a (whole )?number of bytes/],
      [{ bounds: { connections: 0 } }, /400.*bounds\.connections: must be at least 1/],
      [{ bounds: { connections: 1e9 } }, /400.*bounds\.connections: must be at most 512/],
      [{ name: " " }, /400.*name/],
    ];
    for (const [patch, expected] of cases) {
      await assert.rejects(hub.api("PATCH", `/api/tunnels/${tunnel.tunnelId}`, patch), expected);
    }
  });
});

Deno.test("tunnel - the access log tells of requests and WebSockets, under way and over, by whom, on all isolates", async () => {
  await using rig = await startRig({ isolates: 2 });
  const { hub } = rig;
  await using local = localServer((req) => {
    if (req.headers.get("upgrade") !== "websocket") return new Response("12345", { status: 203 });
    const { socket, response } = Deno.upgradeWebSocket(req);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  const tunnel = await rig.expose(local.port);
  await tunnel.ready();
  const { url } = await hub.api("POST", `/api/tunnels/${tunnel.tunnelId}/shares`, { name: "Bob" });
  const bob = new TunnelClient(hub, tunnel.tunnelId);
  await bob.post({ share: new URL(url).hash.slice("#share=".length) });
  await bob.ask("GET", "/page?x=1");
  const socket = await openSocket(bob, "/socket");
  const told = async (path: string) => (await logOf(rig, tunnel)).find((entry) => entry.path === path);
  const open = await eventually(() => told("/socket"), "the line of the open socket");
  assert.deepEqual([open.status, open.ms, open.who], [null, null, "Bob"]);
  assert.equal((await logOf(rig, tunnel))[0]!.path, "/socket", "what is under way comes first");
  // It may be another isolate's, which writes it down a moment later.
  const page = await eventually(() => told("/page?x=1"), "the line of the page");
  assert.deepEqual([page.status, page.bytes, page.who, typeof page.ms], [203, 5, "Bob", "number"]);
  const echoed = new Promise((resolve) => socket.onmessage = resolve);
  socket.send("x".repeat(1_000));
  await within(echoed, "the echo");
  socket.close();
  const over = await eventually(async () => {
    const line = await told("/socket");
    return line?.ms === null ? null : line;
  }, "the socket's end in the log");
  assert.equal(over.status, 101);
  assert.ok(over.bytes >= 2_000 && over.bytes < 2_100, `${over.bytes} bytes`);
  for (let count = 0; count < 120; count++) await tunnel.ask("GET", `/${count}`);
  // What another isolate served is there when that has written it down.
  await eventually(async () => {
    const paths = (await logOf(rig, tunnel)).map(({ path }) => path);
    return paths.length === 100 && paths[0] === "/119" && paths.at(-1) === "/20";
  }, "the newest hundred requests");
});
