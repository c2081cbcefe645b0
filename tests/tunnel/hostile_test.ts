/** What must not work. */
import assert from "node:assert/strict";
import { eventually, within } from "../support/patience.ts";
import { answerOf, localServer, rawExchange, rssMb, startRig, TunnelClient, wholeOf } from "./support.ts";

Deno.test("tunnel - hostile", async (t) => {
  await using rig = await startRig();
  const { hub, runner } = rig;
  const reached: string[] = [];
  await using local = localServer((req) => {
    reached.push(req.url);
    return new Response("secret");
  });
  const tunnel = await rig.expose(local.port);
  await tunnel.ready();
  const raw = (lines: string[], body = "") =>
    rawExchange(
      hub.port,
      `${lines.join("\r\n")}\r\n\r\n${body}`,
      (got) => /secret|<\/html>|^HTTP\/1.1 400[^]*\r\n\r\n/.test(got),
    );
  const host = `Host: ${tunnel.host}`;
  const cookie = `Cookie: ${tunnel.cookie}`;

  await t.step("header smuggling: two lengths, length and chunks, folded and broken headers", async () => {
    const hostile = [
      ["Content-Length: 3", "Content-Length: 4"],
      ["Content-Length: 3", "Transfer-Encoding: chunked"],
      ["Transfer-Encoding: chunked, identity"],
      ["Transfer-Encoding: xchunked"],
      ["Content-Length: 3, 4"],
      ["Content-Length: +3"],
      ["Content-Length : 3"],
      ["X-A: b", " folded: yes"],
      ["X A: b"],
      ["X-A: b\0c"],
      [host],
    ];
    for (const headers of hostile) {
      const before = reached.length;
      const got = await raw(["POST /smuggled HTTP/1.1", host, cookie, ...headers], "abcd");
      assert.match(got, /^HTTP\/1.1 400 /, headers.join(" | "));
      assert.equal(reached.length, before, headers.join(" | "));
    }
  });

  await t.step("CRLF in paths and values stays what it is: text", async () => {
    const got = await tunnel.ask("GET", "/%0d%0aX-Injected:%201", { headers: { "x-value": "a%0d%0ab" } });
    assert.equal(got.text, "secret");
    assert.ok(reached.at(-1)!.endsWith("/%0d%0aX-Injected:%201"));
    assert.match(await raw(["GET /a\rb HTTP/1.1", host, cookie]), /^HTTP\/1.1 400 /);
  });

  await t.step("a local server cannot smuggle an answer", async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const answers = [
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\nabc",
      "HTTP/1.1 999 What\r\n\r\n",
      `HTTP/1.1 200 OK\r\nx: ${"a".repeat(200_000)}\r\n\r\n`,
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ];
    const serve = async () => {
      for await (const conn of listener) {
        await conn.read(new Uint8Array(8_192));
        const bytes = new TextEncoder().encode(answers.shift() ?? "");
        await conn.write(bytes).catch(() => {});
        conn.close();
      }
    };
    const served = serve().catch(() => {});
    const other = await rig.expose(listener.addr.port);
    for (let count = answers.length; count > 0; count--) {
      assert.equal((await other.ask("GET", "/")).status, 502, `answer ${count}`);
    }
    listener.close();
    await served;
  });

  await t.step("only exposed ports, only this machine", async () => {
    await using hidden = localServer(() => new Response("hidden"));
    const sessionId = await runner.startSession({ agentId: "demo" });
    assert.equal((await hub.fetch(`/api/tunnel/${sessionId}/${hidden.port}/`)).status, 404);
    for (const host of ["10.0.0.1", "169.254.169.254", "example.test", "0.0.0.0"]) {
      const refused = hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: 80, host });
      await assert.rejects(refused, /409.*this machine only/, host);
    }
    for (
      const body of [{ port: 0 }, { port: 65_536 }, { port: 80, host: "a b" }, { port: 80, host: "a\r\nb" }, {
        port: 1.5,
      }]
    ) {
      await assert.rejects(hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, ...body }), /400/);
    }
    // Nor by what a request says of itself.
    const got = await tunnel.ask("GET", "/", {
      headers: { "x-forwarded-host": "10.0.0.1", forwarded: "host=10.0.0.1" },
    });
    assert.equal(got.text, "secret");
  });

  await t.step("../ is passed on and means nothing to the hub", async () => {
    for (
      const path of [
        "/../../api/sessions",
        "/..%2f..%2fapi/runners",
        "/%2e%2e/api/keys",
        "//api/tunnels",
        "/./__perch/../x",
      ]
    ) {
      assert.equal((await tunnel.ask("GET", path)).text, "secret");
      assert.ok(reached.at(-1)!.endsWith(path), path);
    }
    // Below the path form, too: it neither leaves the tunnel nor reaches another port's.
    const sessionId = await runner.startSession({ agentId: "demo" });
    await hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: local.port, sessionId });
    const got = await rawExchange(
      hub.port,
      `GET /api/tunnel/${sessionId}/${local.port}/../../../api/keys HTTP/1.1\r\nHost: localhost:${hub.port}\r\n` +
        `Authorization: Bearer ${hub.apiKey}\r\nConnection: close\r\n\r\n`,
      (got) => got.includes("secret"),
    );
    assert.match(got, /secret/);
    assert.match(got, /content-security-policy: sandbox/);
    assert.ok(reached.at(-1)!.endsWith("/../../../api/keys"));
  });

  await t.step("nothing of the hub answers on a tunnel's host, whoever asks", async () => {
    for (const path of ["/", "/login", "/api/sessions", "/healthz", "/metrics", "/ws/hub", "/static/styles.css"]) {
      const got = await tunnel.ask("GET", path, {
        headers: { cookie: hub.cookie, authorization: `Bearer ${hub.apiKey}` },
      });
      assert.equal(got.text, "secret", path);
    }
    const stranger = new TunnelClient(hub, tunnel.tunnelId);
    for (const path of ["/", "/api/sessions", "/healthz", "/__perch/other"]) {
      const got = await stranger.ask("GET", path, {
        headers: { cookie: hub.cookie, authorization: `Bearer ${hub.apiKey}` },
      });
      assert.equal(got.status, 401, path);
    }
  });

  await t.step("DNS rebinding: only exact names are a tunnel's", async () => {
    const { tunnelId } = tunnel;
    const names = [
      `${tunnelId}.evil.example`,
      `${tunnelId}.localhost.evil.example`,
      `evil.${tunnelId}.localhost`,
      `${tunnelId}localhost`,
      `${tunnelId}`,
    ];
    for (const name of names) {
      const before = reached.length;
      const got = await raw([
        `GET /api/tunnel/a/${local.port}/ HTTP/1.1`,
        `Host: ${name}:${hub.port}`,
        cookie,
        "Connection: close",
      ]);
      assert.match(got, /^HTTP\/1.1 (403|404|401|400) /, name);
      assert.equal(reached.length, before, name);
    }
    const unknown = "a".repeat(26);
    assert.match(await raw(["GET / HTTP/1.1", `Host: ${unknown}.localhost:${hub.port}`]), /^HTTP\/1.1 404 /);
    // The path form answers the hub's own names only, with a credential or without.
    const sessionId = await runner.startSession({ agentId: "demo" });
    const rebound = await raw([
      `GET /api/tunnel/${sessionId}/${local.port}/ HTTP/1.1`,
      "Host: evil.example",
      `Cookie: ${hub.cookie}`,
    ]);
    assert.match(rebound, /^HTTP\/1.1 403 /);
  });

  await t.step("a ticket works once, for its tunnel, and not for long; guessing is slowed down", async () => {
    const ticket = await tunnel.ticket();
    const visitor = new TunnelClient(hub, tunnel.tunnelId);
    assert.equal((await visitor.post({ ticket })).status, 204);
    assert.equal((await visitor.post({ ticket })).status, 403);
    await using second = localServer(() => new Response("second"));
    const other = await rig.expose(second.port);
    assert.equal((await other.post({ ticket: await tunnel.ticket() })).status, 403);
    assert.equal((await other.ask("GET", "/", { headers: {} })).text, "second");
    const foreign = new TunnelClient(hub, other.tunnelId);
    foreign.cookie = tunnel.cookie;
    assert.equal((await foreign.ask("GET", "/")).status, 401, "a cookie of one tunnel is none of another");
    const crossSite = await visitor.ask("POST", "/__perch/enter", {
      headers: { origin: "http://evil.example", "content-type": "application/json" },
      body: JSON.stringify({ ticket: await tunnel.ticket() }),
    });
    assert.equal(crossSite.status, 403);
    const statuses = new Set<number>();
    for (let i = 0; i < 40; i++) statuses.add((await foreign.post({ ticket: "x".repeat(43) })).status);
    assert.ok(statuses.has(429), [...statuses].join());
    // Nobody is locked out by somebody else's guesses, and the log tells of them.
    const linkWithPassword = async (name: string) => {
      const { url } = await hub.api("POST", `/api/tunnels/${other.tunnelId}/shares`, { name, password: "open" });
      return new URL(url).hash.slice("#share=".length);
    };
    const [guessed, fine] = [await linkWithPassword("guessed"), await linkWithPassword("fine")];
    const guesses: number[] = [];
    while (guesses.at(-1) !== 429 && guesses.length < 100) {
      guesses.push((await foreign.post({ share: guessed, password: "wrong" })).status);
    }
    assert.equal((await foreign.post({ share: guessed, password: "open" })).status, 429);
    assert.equal((await foreign.post({ share: fine, password: "open" })).status, 204);
    assert.equal((await foreign.post({ ticket: await other.ticket() })).status, 204);
    const { entries } = await hub.api("GET", `/api/tunnels/${other.tunnelId}/log`);
    const wrong = entries.filter((entry: { who: string; status: number }) => entry.who === "guessed");
    assert.equal(wrong.length, guesses.length - 1);
    assert.ok(wrong.length >= 20 && wrong.every(({ status }: { status: number }) => status === 401));
  });

  await t.step("another user's tunnel is not there", async () => {
    const eve = await hub.invite("Eve");
    for (
      const [method, path] of [["GET", ""], ["DELETE", ""], ["POST", "/ticket"], ["GET", "/log"], [
        "POST",
        "/shares",
      ]] as const
    ) {
      const body = method === "POST" ? {} : undefined;
      await assert.rejects(hub.api(method, `/api/tunnels/${tunnel.tunnelId}${path}`, body, eve), /404/, path);
    }
    await assert.rejects(hub.api("POST", "/api/tunnels", { runnerId: runner.runnerId, port: 1 }, eve), /404/);
    assert.deepEqual((await hub.api("GET", "/api/tunnels", undefined, eve)).tunnels, []);
    const { tunnels } = await hub.api("GET", "/api/tunnels");
    const mine = tunnels.find(({ sessionId }: { sessionId: string | null }) => sessionId !== null);
    const path = `/api/tunnel/${mine.sessionId}/${mine.port}/`;
    assert.equal((await hub.fetch(path, { person: eve })).status, 404);
  });

  await t.step("a share link: password, expiry, removal while in use", async () => {
    const { share, url } = await hub.api("POST", `/api/tunnels/${tunnel.tunnelId}/shares`, {
      name: "for Bob",
      password: "open",
    });
    const secret = new URL(url).hash.slice("#share=".length);
    const bob = new TunnelClient(hub, tunnel.tunnelId);
    assert.equal((await bob.post({ share: secret })).status, 401);
    assert.equal((await bob.post({ share: secret, password: "wrong" })).status, 401);
    assert.equal((await bob.post({ share: secret, password: "open" })).status, 204);
    assert.equal((await bob.ask("GET", "/")).text, "secret");
    await hub.api("DELETE", `/api/tunnels/${tunnel.tunnelId}/shares/${share.shareId}`);
    await eventually(async () => (await bob.ask("GET", "/")).status === 401, "the end of the link");
    assert.equal((await bob.post({ share: secret, password: "open" })).status, 403);
    const short = await hub.api("POST", `/api/tunnels/${tunnel.tunnelId}/shares`, { ttlMs: 1_000 });
    await eventually(
      async () => (await bob.post({ share: new URL(short.url).hash.slice(7) })).status !== 204,
      "the link's expiry",
    );
  });

  await t.step("revocation while in use: sign-out and closing cut what is under way", async () => {
    const stop = new AbortController();
    await using endless = localServer(() => {
      const body = new ReadableStream({
        async pull(controller) {
          controller.enqueue(new Uint8Array(1_024));
          await new Promise((resolve) => setTimeout(resolve, 5));
          if (stop.signal.aborted) controller.close();
        },
      });
      return new Response(body);
    });
    const client = await rig.expose(endless.port);
    const flowing = async (path: string) => {
      const request = client.request("GET", path);
      const answered = answerOf(request);
      request.end();
      const answer = await within(answered, "the head");
      return { outcome: wholeOf(answer).then(() => "ended", () => "cut") };
    };
    // By a sign-in that ends.
    const signIn = await hub.fetch("/api/auth/sign-in/email", {
      method: "POST",
      body: JSON.stringify({ email: "ann@perch.test", password: "Correct-horse-7" }),
      headers: { cookie: "none=1" },
    });
    assert.equal(signIn.status, 200, await signIn.text());
    const person = { ...hub.person, cookie: signIn.headers.getSetCookie().map((set) => set.split(";")[0]).join("; ") };
    assert.equal((await client.post({ ticket: await client.ticket(person) })).status, 204);
    const first = await flowing("/a");
    const out = await hub.fetch("/api/auth/sign-out", { method: "POST", body: "{}", person });
    assert.ok(out.ok, await out.text());
    assert.equal(await within(first.outcome, "the cut"), "cut");
    assert.equal((await client.ask("GET", "/")).status, 401);
    // By closing.
    await client.enter();
    const second = await flowing("/b");
    await hub.api("DELETE", `/api/tunnels/${client.tunnelId}`);
    assert.equal(await within(second.outcome, "the cut"), "cut");
    assert.equal((await client.ask("GET", "/")).status, 404);
    stop.abort();
  });

  await t.step("connections and bytes are bounded", async () => {
    const release = Promise.withResolvers<void>();
    await using slow = localServer(async () => {
      await release.promise;
      return new Response("done");
    });
    const client = await rig.expose(slow.port, { bounds: { connections: 2 } });
    const asked = [1, 2, 3, 4].map(() => client.ask("GET", "/"));
    // Two wait for the local server; the others must have been turned away before it answers.
    let over = 0;
    const turnedAway = Promise.withResolvers<void>();
    for (const answer of asked) void answer.then(() => ++over === 2 && turnedAway.resolve());
    await within(turnedAway.promise, "two answers");
    release.resolve();
    const statuses = (await Promise.all(asked)).map(({ status }) => status).sort();
    assert.deepEqual(statuses, [200, 200, 503, 503]);
  });

  await t.step("requests that cannot be answered free their places", async () => {
    const { port } = (() => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      return listener.addr;
    })();
    const client = await rig.expose(port, { bounds: { connections: 1 } });
    for (let i = 0; i < 3; i++) assert.equal((await client.ask("GET", `/${i}`)).status, 502);
    const refused = await client.ask("GET", "/", { headers: { "content-length": "1" }, body: "x" });
    assert.equal(refused.status, 400);
    assert.equal((await client.ask("GET", "/last")).status, 502);
  });

  await t.step("a client that does not read holds nobody else up, and no memory", async () => {
    const chunk = new Uint8Array(64 * 1024);
    await using big = localServer(() =>
      new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }))
    );
    const client = await rig.expose(big.port);
    const request = client.request("GET", "/");
    const answered = answerOf(request);
    request.end();
    const stalled = await within(answered, "the head");
    request.on("error", () => {});
    stalled.on("error", () => {});
    stalled.pause();
    const daemon = await runner.daemonPid();
    await eventually(async () => (await tunnel.ask("GET", "/")).text === "secret", "another answer");
    const before = [rssMb(hub.pid), rssMb(daemon)];
    for (let i = 0; i < 300; i++) assert.equal((await tunnel.ask("GET", "/")).text, "secret");
    const after = [rssMb(hub.pid), rssMb(daemon)];
    for (const index of [0, 1]) assert.ok(after[index]! - before[index]! < 64, `${before} → ${after}`);
    request.destroy();
  });
});
