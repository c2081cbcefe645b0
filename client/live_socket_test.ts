import assert from "node:assert/strict";
import { hubServer } from "@/protocol/hub.ts";
import { closeCodes } from "@/protocol/limits.ts";
import { LiveSocket, type SocketState, stopReason } from "./live_socket.ts";

interface Bench extends AsyncDisposable {
  live: LiveSocket<typeof hubServer>;
  states: SocketState[];
  messages: unknown[];
  /** Resolves when `check` holds; it is asked after every event. */
  until(check: () => boolean): Promise<void>;
}

function bench(onSocket: (socket: WebSocket, count: number) => void, refuse = false): Bench {
  let count = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    if (refuse) return new Response("no", { status: 401 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    const n = ++count;
    socket.onopen = () => onSocket(socket, n);
    return response;
  });
  const states: SocketState[] = [];
  const messages: unknown[] = [];
  const waiters = new Set<() => void>();
  const changed = () => [...waiters].forEach((waiter) => waiter());
  const live = new LiveSocket({
    url: `ws://127.0.0.1:${server.addr.port}/ws/hub`,
    schemas: hubServer,
    onMessage: (message) => {
      messages.push(message);
      changed();
    },
    onState: (state) => {
      states.push(state);
      changed();
    },
    probe: () => Promise.resolve("unauthorized"),
    random: () => 0,
  });
  return {
    live,
    states,
    messages,
    until: (check) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`timed out; states ${JSON.stringify(states)}`)), 10_000);
        const waiter = () => {
          if (!check()) return;
          clearTimeout(timer);
          waiters.delete(waiter);
          resolve();
        };
        waiters.add(waiter);
        waiter();
      }),
    async [Symbol.asyncDispose]() {
      live.dispose();
      await server.shutdown();
    },
  };
}

Deno.test("reconnects after a break and delivers what is well formed", async () => {
  await using it = bench((socket, count) => {
    socket.send('[{"type":"sessions","sessions":[]},{"type":"session_removed"},{"type":"news"}]');
    if (count === 1) socket.close(1011);
  });
  it.live.start();
  await it.until(() => it.messages.length === 2);
  assert.deepEqual(it.messages, [{ type: "sessions", sessions: [] }, { type: "sessions", sessions: [] }]);
  assert.deepEqual(it.states.map((state) => state.kind), ["connecting", "live", "waiting", "connecting", "live"]);
  assert.equal(it.live.unreadable, 4);
});

Deno.test("a revoked credential ends it: at a close code and at a refused handshake", async () => {
  await using revoked = bench((socket) => socket.close(closeCodes.unauthorized));
  revoked.live.start();
  await revoked.until(() => revoked.live.state.kind === "stopped");
  assert.deepEqual(revoked.live.state, { kind: "stopped", reason: "signed_out" });
  await using refused = bench(() => {}, true);
  refused.live.start();
  await refused.until(() => refused.live.state.kind === "stopped");
  assert.deepEqual(refused.live.state, { kind: "stopped", reason: "signed_out" });
});

Deno.test("only pointless reconnects are given up", () => {
  assert.equal(stopReason(closeCodes.protocolVersion), "version");
  assert.equal(stopReason(closeCodes.deleted), "deleted");
  for (const code of [1000, 1006, 1011, closeCodes.goingAway, closeCodes.protocolError]) {
    assert.equal(stopReason(code), null);
  }
});
