/** HTTP/1.1 through a tunnel, with a real hub, a real runner and real local servers. */
import assert from "node:assert/strict";
import * as http from "node:http";
import { Changes, eventually, within } from "../support/patience.ts";
import { answerOf, localServer, rawExchange, startRig, wholeOf } from "./support.ts";

const encoder = new TextEncoder();

Deno.test("tunnel - HTTP", async (t) => {
  await using rig = await startRig({ env: { PERCH_LOG_LEVEL: "info" } });

  await t.step("every method, with path, query and headers as they were sent", async () => {
    await using local = localServer(async (req) => {
      const url = req.url.slice(req.url.indexOf("/", 7));
      return Response.json({ method: req.method, url, body: await req.text(), headers: [...req.headers] });
    });
    const tunnel = await rig.expose(local.port);
    await tunnel.ready();
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]) {
      const body = method === "GET" ? undefined : `body of ${method}`;
      const path = "/a/../b//%2e%2e/%0d%0a?q=a+b&r=[1]";
      const got = await tunnel.ask(method, path, { headers: { "x-test": "a, b" }, ...(body ? { body } : {}) });
      const seen = JSON.parse(got.text);
      assert.deepEqual([seen.method, seen.url, seen.body], [method, path, body ?? ""]);
      const headers = new Map<string, string>(seen.headers);
      assert.equal(headers.get("host"), `localhost:${local.port}`);
      assert.equal(headers.get("x-test"), "a, b");
      assert.equal(headers.get("x-forwarded-proto"), "http");
      assert.equal(headers.get("x-forwarded-for"), "127.0.0.1");
      assert.equal(headers.has("cookie"), false, "the cookie that admits goes no further than the hub");
    }
    const head = await tunnel.ask("HEAD", "/");
    assert.equal(head.text, "");
    assert.ok(Number(head.headers["content-length"]) > 0);
  });

  await t.step("repeated headers, cookies made host-only, redirects led outward, statuses without a body", async () => {
    await using local = localServer((req) => {
      const { pathname } = new URL(req.url);
      if (pathname === "/cookies") {
        const headers: [string, string][] = [
          ["set-cookie", "a=1; Domain=localhost; Path=/"],
          ["set-cookie", "b=2; HttpOnly"],
          ["set-cookie", "perch_tunnel=stolen"],
        ];
        return new Response("ok", { headers });
      }
      if (pathname === "/away") {
        return new Response(null, { status: 302, headers: { location: `http://localhost:${local.port}/there?x` } });
      }
      if (pathname === "/204") return new Response(null, { status: 204 });
      if (pathname === "/304") return new Response(null, { status: 304, headers: { etag: '"v1"' } });
      return new Response(req.headers.get("cookie") ?? "none", { status: 418 });
    });
    const tunnel = await rig.expose(local.port);
    const cookies = await tunnel.ask("GET", "/cookies");
    assert.deepEqual(cookies.headers["set-cookie"], ["a=1; Path=/", "b=2; HttpOnly"]);
    assert.equal((await tunnel.ask("GET", "/away")).headers.location, `${tunnel.origin}/there?x`);
    assert.equal((await tunnel.ask("GET", "/204")).status, 204);
    const notModified = await tunnel.ask("GET", "/304");
    assert.deepEqual([notModified.status, notModified.headers.etag], [304, '"v1"']);
    const own = await tunnel.ask("GET", "/x", { headers: { cookie: "app=1; other=2" } });
    assert.deepEqual([own.status, own.text], [418, "app=1; other=2"]);
  });

  await t.step("bodies stream both ways, piece by piece", async () => {
    await using local = localServer((req) => new Response(req.body));
    const tunnel = await rig.expose(local.port);
    const request = tunnel.request("POST", "/echo", { "transfer-encoding": "chunked" });
    const answered = answerOf(request);
    request.write("one");
    const answer = await within(answered, "the head before the end of the request");
    const changes = new Changes();
    let got = "";
    answer.on("data", (part: Uint8Array) => {
      got += new TextDecoder().decode(part);
      changes.notify();
    });
    await changes.until(() => got === "one", "the first piece");
    request.write("two");
    await changes.until(() => got === "onetwo", "the second piece");
    const ended = new Promise((resolve) => answer.once("end", resolve));
    request.end("three");
    await within(ended, "the end");
    assert.equal(got, "onetwothree");
  });

  await t.step("server-sent events arrive as they are sent; leaving ends them", async () => {
    const left = Promise.withResolvers<void>();
    let send = (_: string) => {};
    await using local = localServer(() => {
      const body = new ReadableStream({
        start(controller) {
          send = (text) => controller.enqueue(encoder.encode(text));
          send("data: first\n\n");
        },
        cancel: () => left.resolve(),
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    });
    const tunnel = await rig.expose(local.port);
    const request = tunnel.request("GET", "/events");
    const answered = answerOf(request);
    request.end();
    const answer = await within(answered, "the head");
    assert.equal(answer.headers["content-type"], "text/event-stream");
    const changes = new Changes();
    let got = "";
    answer.on("data", (part: Uint8Array) => {
      got += new TextDecoder().decode(part);
      changes.notify();
    });
    answer.on("error", () => {});
    await changes.until(() => got === "data: first\n\n", "the first event");
    send("data: second\n\n");
    await changes.until(() => got.endsWith("data: second\n\n"), "the second event");
    request.destroy();
    await within(left.promise, "the local server's notice that the client left");
  });

  await t.step("a client that leaves while it waits for the head ends the local request", async () => {
    const arrived = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    await using local = localServer((req) => {
      arrived.resolve();
      return new Promise((resolve) =>
        req.signal.addEventListener("abort", () => {
          left.resolve();
          resolve(new Response(null));
        })
      );
    });
    const tunnel = await rig.expose(local.port);
    const request = tunnel.request("GET", "/wait");
    request.on("error", () => {});
    request.end();
    await within(arrived.promise, "the request");
    request.destroy();
    await within(left.promise, "the local server's notice");
  });

  await t.step("a local server that breaks in the middle breaks the client's answer, too", async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serve = async () => {
      for await (const conn of listener) {
        await conn.read(new Uint8Array(4_096));
        const head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        await conn.write(encoder.encode(`${head}5\r\nhello\r\n`));
        conn.close();
      }
    };
    const served = serve().catch(() => {});
    const tunnel = await rig.expose(listener.addr.port);
    const request = tunnel.request("GET", "/");
    const answered = answerOf(request);
    request.end();
    const answer = await within(answered, "the head");
    await assert.rejects(within(wholeOf(answer), "the break"), (error: Error) => !/did not happen/.test(error.message));
    // It is a line of the log like all others.
    const log = await eventually(async () => {
      const text = await Deno.readTextFile(rig.hub.logPath);
      return text.includes("answer_broken") ? text : null;
    }, "the line of the log");
    for (const line of log.trimEnd().split("\n")) assert.equal(typeof JSON.parse(line).event, "string", line);
    listener.close();
    await served;
  });

  await t.step("100-continue: the body follows, and the local server gets it whole", async () => {
    await using local = localServer(async (req) => new Response(`got ${await req.text()}`));
    const tunnel = await rig.expose(local.port);
    const request = tunnel.request("POST", "/", { expect: "100-continue", "content-length": "5" });
    const answered = answerOf(request);
    const continued = new Promise<void>((resolve) => request.once("continue", resolve));
    request.flushHeaders();
    await within(continued, "100 Continue");
    request.end("hello");
    assert.equal((await wholeOf(await within(answered, "the answer"))).text, "got hello");
  });

  await t.step("an answer that comes before the request's body is through is delivered", async () => {
    const server = http.createServer((request, response) => {
      response.writeHead(413, { connection: "close" });
      response.end("too large");
      request.resume();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const tunnel = await rig.expose(port);
    const request = tunnel.request("POST", "/", { "transfer-encoding": "chunked" });
    request.on("error", () => {});
    const answered = answerOf(request);
    request.write("a".repeat(100_000));
    const answer = await wholeOf(await within(answered, "the early answer"));
    assert.deepEqual([answer.status, answer.text], [413, "too large"]);
    request.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  await t.step("nothing listening is said, and so is what does not speak HTTP", async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const tunnel = await rig.expose(port);
    const serve = listener.accept().then(async (conn) => {
      await conn.write(encoder.encode("SSH-2.0-nope\r\n\r\n"));
      conn.close();
    });
    const odd = await tunnel.ask("GET", "/");
    assert.equal(odd.status, 502);
    assert.match(odd.text, /does not speak HTTP/);
    await serve;
    listener.close();
    const dead = await tunnel.ask("GET", "/");
    assert.equal(dead.status, 502);
    assert.match(dead.text, new RegExp(`nothing answers on port ${port}`));
  });

  await t.step("a kept connection that the server has closed is replaced without the client's notice", async () => {
    const server = http.createServer((_, response) => response.end("ok"));
    server.keepAliveTimeout = 1;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const tunnel = await rig.expose(port);
    for (let i = 0; i < 20; i++) {
      assert.equal((await tunnel.ask("GET", `/${i}`)).text, "ok");
      server.closeIdleConnections();
    }
    await new Promise((resolve) => server.close(resolve));
  });

  await t.step("the access log tells who asked for what", async () => {
    await using local = localServer(() => new Response("12345"));
    const tunnel = await rig.expose(local.port);
    await tunnel.ask("GET", "/logged?x=1");
    const entry = await eventually(async () => {
      const { entries } = await rig.hub.api("GET", `/api/tunnels/${tunnel.tunnelId}/log`);
      return entries[0] ?? null;
    }, "the log entry");
    const { at: _, ms: __, ...told } = entry;
    assert.deepEqual(told, { method: "GET", path: "/logged?x=1", status: 200, bytes: 5, who: "owner" });
  });

  await t.step("where a session has no origin for its ports there is the path form, sandboxed", async () => {
    await using local = localServer((req) =>
      new Response(
        `${req.url.slice(req.url.indexOf("/", 7))} ${req.headers.get("cookie")} ${req.headers.get("authorization")}`,
        {
          headers: { "set-cookie": "a=1", "service-worker-allowed": "/", "access-control-allow-origin": "*" },
        },
      )
    );
    const sessionId = await rig.runner.startSession({ agentId: "demo" });
    await rig.hub.api("POST", "/api/tunnels", { runnerId: rig.runner.runnerId, port: local.port, sessionId });
    const base = `/api/tunnel/${sessionId}/${local.port}`;
    const got = await rig.hub.fetch(`${base}/x/..%2fy?z`, { headers: { "sec-fetch-dest": "document" } });
    assert.equal(await got.text(), "/x/..%2fy?z null null");
    assert.match(got.headers.get("content-security-policy") ?? "", /^sandbox (?!.*allow-same-origin)/);
    assert.equal(got.headers.get("service-worker-allowed"), null);
    assert.equal(got.headers.get("access-control-allow-origin"), null);
    const [cookie = "", ...others] = got.headers.getSetCookie();
    assert.deepEqual(others, []);
    assert.match(cookie, new RegExp(`^perch_tunnel=[^;]+; Path=${base}/; HttpOnly; Secure; SameSite=None$`));
    const byKey = await rig.hub.fetch(`${base}/`, { headers: { authorization: `Bearer ${rig.hub.apiKey}` } });
    assert.equal(await byKey.text(), "/ null null");
    // What the sandboxed page asks for: no cookie of the hub, but the path's own.
    const asset = await rig.hub.fetch(`${base}/style.css`, {
      headers: { cookie: cookie.split(";")[0]!, origin: "null" },
    });
    assert.equal(await asset.text(), "/style.css null null");
    assert.equal((await rig.hub.fetch(`${base}/`, { headers: { cookie: "a=1" } })).status, 401);
  });

  await t.step("a request line with a whole URL, and bodies that cannot be passed on", async () => {
    await using local = localServer(() => new Response("reached"));
    const tunnel = await rig.expose(local.port);
    const ask = (line: string, ...headers: string[]) =>
      rawExchange(
        rig.hub.port,
        [line, `Host: ${tunnel.host}`, `Cookie: ${tunnel.cookie}`, "Connection: close", ...headers].join("\r\n") +
          "\r\n\r\n",
        (got) => /reached|<\/html>/.test(got),
      );
    assert.match(await ask(`GET http://${tunnel.host}/x HTTP/1.1`), /^HTTP\/1.1 200 [^]*reached$/);
    assert.match(await ask(`GET http://localhost:${rig.hub.port}/ HTTP/1.1`), /^HTTP\/1.1 400 /);
    assert.match(await ask("GET / HTTP/1.1", "Content-Length: 3"), /^HTTP\/1.1 400 [^]*with a body cannot/);
  });
});
