import assert from "node:assert/strict";
import { App } from "./mod.ts";

/** Serves `app` on a free port while `run` talks to it. */
async function withServer(app: App, run: (base: string) => Promise<void>): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.handler());
  try {
    await run(`ws://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

/** Opens a socket, sends `text`, and gives the answer once the socket has closed. */
async function exchange(
  url: string,
  text: string,
  protocols: string[] = [],
): Promise<{ answer: string; protocol: string }> {
  const socket = new WebSocket(url, protocols);
  const closed = new Promise<void>((resolve) => socket.onclose = () => resolve());
  const answer = await new Promise<string>((resolve, reject) => {
    socket.onopen = () => socket.send(text);
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => reject(new Error(`no WebSocket at ${url}`));
  });
  const { protocol } = socket;
  socket.close(1000, "bye");
  await closed;
  return { answer, protocol };
}

Deno.test("app.ws - upgrades and passes events on", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<[number, string]>();
  const opened: WebSocket[] = [];
  const app = new App().ws("/ws", {
    open: (socket) => void opened.push(socket),
    message: (socket, event) => socket.send(`Echo: ${event.data}`),
    close: (_socket, code, reason) => resolve([code, reason]),
  }, { protocol: "chat", idleTimeout: 60 });
  await withServer(app, async (base) => {
    assert.deepEqual(await exchange(`${base}/ws`, "hi", ["chat"]), { answer: "Echo: hi", protocol: "chat" });
    assert.deepEqual(await closed, [1000, "bye"]);
    assert.equal(opened.length, 1);
  });
});

Deno.test("ctx.upgrade - managed and bare", async () => {
  const app = new App()
    .get("/managed", (ctx) => ctx.upgrade({ message: (socket) => socket.send("managed") }))
    .get("/bare", (ctx) => {
      const { socket, response } = ctx.upgrade({ idleTimeout: 30 });
      socket.onmessage = () => socket.send("bare");
      return response;
    });
  await withServer(app, async (base) => {
    assert.equal((await exchange(`${base}/managed`, "x")).answer, "managed");
    assert.equal((await exchange(`${base}/bare`, "x")).answer, "bare");
  });
});

Deno.test("ctx.upgrade - 400 for a request that is no upgrade", async () => {
  const response = await new App().ws("/ws", {}).handler()(new Request("http://localhost/ws"));
  assert.equal(response.status, 400);
  assert.equal(await response.text(), "Expected a WebSocket upgrade request");
});
