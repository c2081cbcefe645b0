import assert from "node:assert/strict";
import { ClientSocket } from "./client_socket.ts";

/** A server that answers each upgrade with `serve`, and plain requests with 401. */
async function withServer(serve: (socket: WebSocket) => void, run: (url: string) => Promise<void>): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (req) => {
    if (req.headers.get("authorization") !== "Bearer yes") return new Response("no", { status: 401 });
    const { socket, response } = Deno.upgradeWebSocket(req);
    socket.binaryType = "arraybuffer";
    serve(socket);
    return response;
  });
  try {
    await run(`ws://127.0.0.1:${(server.addr as Deno.NetAddr).port}/ws/x?y=1`);
  } finally {
    await server.shutdown();
  }
}

function open(url: string, authorization = "Bearer yes") {
  const socket = new ClientSocket(url, { authorization });
  const opened = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  const messages: (string | Uint8Array)[] = [];
  let wake: (() => void) | null = null;
  socket.onopen = () => opened.resolve();
  socket.onclose = (event) => {
    closed.resolve(event);
    opened.resolve();
  };
  socket.onmessage = ({ data }) => {
    messages.push(typeof data === "string" ? data : data.slice());
    wake?.();
  };
  const next = async () => {
    while (messages.length === 0) await new Promise<void>((resolve) => wake = resolve);
    return messages.shift()!;
  };
  return { socket, opened: opened.promise, closed: closed.promise, next };
}

Deno.test("text and bytes go both ways, and a close has its code and reason", async () => {
  await withServer((socket) => {
    socket.onmessage = ({ data }) => data === "bye" ? socket.close(4009, "replaced") : socket.send(data);
  }, async (url) => {
    const { socket, opened, closed, next } = open(url);
    assert.equal(socket.readyState, WebSocket.CONNECTING);
    await opened;
    socket.send("grüße");
    assert.equal(await next(), "grüße");
    for (const length of [0, 125, 126, 65_536, 1_000_003]) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff);
      socket.send(bytes);
      assert.deepEqual(Uint8Array.from(await next() as Uint8Array), bytes);
    }
    socket.send("bye");
    assert.deepEqual(await closed, { code: 4009, reason: "replaced" });
    assert.equal(socket.readyState, WebSocket.CLOSED);
  });
});

Deno.test("closing shakes hands, after everything that was sent", async () => {
  const received: number[] = [];
  const closing = Promise.withResolvers<CloseEvent>();
  await withServer((socket) => {
    socket.onmessage = ({ data }) => received.push(data.byteLength);
    socket.onclose = (event) => closing.resolve(event);
  }, async (url) => {
    const { socket, opened, closed } = open(url);
    await opened;
    for (let i = 0; i < 50; i++) socket.send(new Uint8Array(100_000));
    socket.close(1000, "done");
    socket.send(new Uint8Array(1));
    assert.equal((await closed).code, 1000);
    const { code, reason } = await closing.promise;
    assert.deepEqual([code, reason], [1000, "done"]);
    assert.deepEqual(received, Array(50).fill(100_000));
  });
});

Deno.test("a refused upgrade names the status, a dead port says so, and closing early closes", async () => {
  await withServer(() => {}, async (url) => {
    const { closed } = open(url, "Bearer no");
    assert.deepEqual(await closed, { code: 1006, reason: "Invalid status code: 401" });
    const early = open(url);
    early.socket.close();
    assert.equal((await early.closed).code, 1006);
  });
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  const dead = await open(`ws://127.0.0.1:${port}/`).closed;
  assert.match(dead.reason, /refused/i);
});
