import assert from "node:assert/strict";
import { closeCodes } from "@/protocol/mod.ts";
import { type HubRefusal, HubSocket, hubSocketUrl } from "./hub_socket.ts";

interface Seen {
  opens: number;
  closes: string[];
  refusals: HubRefusal[];
  frames: unknown[];
}

/** A socket against a server that handles each upgrade in turn; `until` waits for what the socket reports. */
function setUp(
  accept: (request: Request, attempt: number) => Response,
  options: { heartbeatMs?: number; silenceMs?: number } = {},
) {
  let attempts = 0;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => accept(request, ++attempts),
  );
  const seen: Seen = { opens: 0, closes: [], refusals: [], frames: [] };
  const watchers = new Set<() => void>();
  const changed = () => watchers.forEach((look) => look());
  const socket = new HubSocket({
    path: "/ws/runner",
    target: () => ({ hubUrl: `http://127.0.0.1:${server.addr.port}/base/`, apiKey: "k" }),
    backoff: { firstMs: 1, maxMs: 4 },
    ...options,
    handlers: {
      onOpen: () => (seen.opens++, changed()),
      onFrame: (data) => (seen.frames.push(data), changed()),
      onClose: (reason) => (seen.closes.push(reason), changed()),
      onRefused: (refusal) => (seen.refusals.push(refusal), changed()),
    },
  });
  return {
    socket,
    seen,
    attempts: () => attempts,
    until: (isDone: () => boolean): Promise<void> => {
      const done = Promise.withResolvers<void>();
      const timer = setTimeout(() => done.reject(new Error("timed out")), 10_000);
      const look = () => isDone() && done.resolve();
      watchers.add(look);
      look();
      return done.promise.finally(() => (clearTimeout(timer), watchers.delete(look)));
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await server.shutdown();
    },
  };
}

function upgrade(request: Request, onOpen: (socket: WebSocket) => void): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onopen = () => onOpen(socket);
  return response;
}

Deno.test("the endpoint's URL is made from the hub's, path included", () => {
  assert.equal(hubSocketUrl("https://hub.example", "/ws/relay"), "wss://hub.example/ws/relay");
  assert.equal(hubSocketUrl("http://127.0.0.1:7700/perch/", "/ws/runner"), "ws://127.0.0.1:7700/perch/ws/runner");
});

Deno.test("a connection that breaks, or is refused for now, is made again with the key in its header", async () => {
  const paths: string[] = [];
  await using t = setUp((request, attempt) => {
    paths.push(`${new URL(request.url).pathname} ${request.headers.get("authorization")}`);
    if (attempt === 1) return new Response("later", { status: 503 });
    return upgrade(request, (socket) => attempt < 4 ? socket.close(1011, "oops") : socket.send("hello"));
  });
  t.socket.restart();
  await t.until(() => t.seen.frames.length === 1);
  assert.equal(t.attempts(), 4);
  assert.deepEqual(new Set(paths), new Set(["/base/ws/runner Bearer k"]));
  assert.match(t.seen.closes[0] ?? "", /503/);
  assert.equal(t.seen.closes[1], "oops");
  assert.equal(t.socket.send("x"), true);
});

Deno.test("a revoked or unknown key, a replacement and a deletion are not tried again, until told to", async () => {
  const codes = [closeCodes.unauthorized, closeCodes.replaced, closeCodes.protocolVersion, closeCodes.deleted];
  await using t = setUp((request, attempt) =>
    attempt === 1
      ? new Response("no", { status: 401 })
      : upgrade(request, (socket) => socket.close(codes[attempt - 2] ?? 1000, "refused"))
  );
  for (const refusal of ["unauthorized", "unauthorized", "replaced", "protocol_version", "deleted"]) {
    const before = t.attempts();
    const count = t.seen.refusals.length;
    t.socket.restart();
    await t.until(() => t.seen.refusals.length > count);
    assert.equal(t.seen.refusals.at(-1), refusal);
    assert.equal(t.attempts(), before + 1);
  }
  assert.equal(t.socket.send("x"), false);
});

Deno.test("a hub that falls silent is left behind; one that only pongs is not", async () => {
  const pings: string[] = [];
  await using t = setUp(
    (request, attempt) =>
      upgrade(request, (socket) => {
        socket.onmessage = ({ data }) => {
          pings.push(data);
          if (attempt > 1) socket.send('{"type":"pong"}');
        };
      }),
    { heartbeatMs: 20, silenceMs: 100 },
  );
  t.socket.restart();
  await t.until(() => t.seen.frames.length >= 10);
  assert.equal(t.attempts(), 2);
  assert.deepEqual(t.seen.closes, ["the hub fell silent"]);
  assert.equal(pings[0], '{"type":"ping"}');
});
