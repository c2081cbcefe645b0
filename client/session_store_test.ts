import assert from "node:assert/strict";
import { initialMeta } from "@/protocol/meta.ts";
import type { SessionInfo } from "@/protocol/shared.ts";
import type { TextStore } from "./outbox.ts";
import { SessionStore } from "./session_store.ts";

/** What the hub received, and how to answer it. */
interface Hub extends AsyncDisposable {
  received: Record<string, unknown>[];
  sockets: WebSocket[];
  send(...messages: object[]): void;
  /** Resolves when `check` holds; asked after every message either way. */
  until(check: () => boolean, what: string): Promise<void>;
}

/** A hub on a loopback port that only notes what it is told. The store's page is `location`. */
function startHub(): Hub {
  const received: Record<string, unknown>[] = [];
  const sockets: WebSocket[] = [];
  const waiters = new Set<() => void>();
  const changed = () => [...waiters].forEach((waiter) => waiter());
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    if (request.headers.get("upgrade") !== "websocket") return Response.json({});
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => sockets.push(socket);
    socket.onmessage = (event) => {
      received.push(JSON.parse(event.data));
      changed();
    };
    return response;
  });
  const page = { visibilityState: "visible", addEventListener() {} };
  const globals = {
    location: new URL(`http://127.0.0.1:${server.addr.port}/session/s`),
    document: page,
    requestAnimationFrame: (run: () => void) => queueMicrotask(() => (run(), changed())),
  };
  const before = Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return {
    received,
    sockets,
    send: (...messages) => sockets.at(-1)!.send(JSON.stringify(messages)),
    until: (check, what) =>
      new Promise((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error(`never: ${what}; got ${JSON.stringify(received)}`)), 10_000);
        const poll = setInterval(() => waiter(), 10);
        const waiter = () => {
          if (!check()) return;
          clearTimeout(limit);
          clearInterval(poll);
          waiters.delete(waiter);
          resolve();
        };
        waiters.add(waiter);
        waiter();
      }),
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      for (const [name, descriptor] of before) {
        if (descriptor) Object.defineProperty(globalThis, name, descriptor);
        else Reflect.deleteProperty(globalThis, name);
      }
    },
  };
}

const info: SessionInfo = {
  sessionId: "s",
  shareUrl: "/session/s",
  cwd: "/src",
  sessionName: null,
  agent: { id: "pi", name: "pi" },
  model: null,
  runnerId: "r",
  runnerName: "box",
  startedAt: 1,
  lastActivityAt: 1,
  isActive: true,
  activity: "idle",
  attention: 0,
  unread: false,
  viewerCount: 1,
  ended: null,
  isResumable: false,
  parentSessionId: null,
};
const message = (index: number, text: string, seq = index + 1) => ({
  id: `e${index}`,
  index,
  seq,
  kind: "agent_message",
  head: { status: "running", startedAt: 1, textLength: text.length },
  body: { text },
});
const attached = (generation: number, verdict: string, seq: number) => ({
  type: "connected",
  sessionId: "s",
  generation,
  verdict,
  cursor: { epoch: 1, seq },
  info,
  inbox: [],
});
const snapshot = (generation: number, entries: object[], seq: number) => ({
  type: "snapshot",
  sessionId: "s",
  generation,
  cursor: { epoch: 1, seq },
  meta: { ...initialMeta(), activity: "idle" },
  entries,
  oldestIndex: 0,
});
const switches = (hub: Hub) => hub.received.filter(({ type }) => type === "switch_session");
const commands = (hub: Hub) => hub.received.filter(({ type }) => type === "command");

function memoryStore(): TextStore {
  const values = new Map<string, string>();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

Deno.test("streams into one entry, and resumes with its cursor after a break", async () => {
  await using hub = startHub();
  const store = new SessionStore("s", null);
  store.start();
  await hub.until(() => switches(hub).length === 1, "attach");
  hub.send(attached(1, "snapshot", 1), snapshot(1, [message(0, "Hel")], 1));
  await hub.until(() => store.phase.value.kind === "ready", "snapshot");
  const entry = store.entry("e0");
  const rows = store.rows.value;
  hub.send({ type: "delta", sessionId: "s", epoch: 1, entryId: "e0", at: 3, text: "lo" });
  hub.send({ type: "delta", sessionId: "s", epoch: 1, entryId: "e0", at: 3, text: "lo!" });
  await hub.until(() => entry.value?.appended === "lo!", "deltas, each once");
  assert.equal(store.rows.value, rows, "a delta does not touch the list of entries");
  hub.sockets.at(-1)!.close(1011);
  await hub.until(() => switches(hub).length === 2, "attach again");
  assert.deepEqual(switches(hub)[1]!.cursor, { epoch: 1, seq: 1 });
  store.dispose();
});

Deno.test("a command without a receipt is sent again with its op, even from a reloaded page", async () => {
  await using hub = startHub();
  const kept = memoryStore();
  const store = new SessionStore("s", kept);
  const op = store.run({ kind: "prompt", text: "typed while offline", delivery: "prompt" });
  store.start();
  await hub.until(() => commands(hub).length === 1, "sent on connecting");
  hub.sockets.at(-1)!.close(1011);
  await hub.until(() => commands(hub).length === 2, "sent again");
  store.dispose();
  const reloaded = new SessionStore("s", kept);
  reloaded.start();
  await hub.until(() => commands(hub).length === 3, "sent by the reloaded page");
  assert.deepEqual(new Set(commands(hub).map((command) => command.op)), new Set([op]));
  hub.send({ type: "command_status", op, sessionId: "s", status: "accepted", at: 1 });
  await hub.until(() => reloaded.outgoing.value[0]?.status === "accepted", "accepted");
  hub.send({ type: "command_status", op, sessionId: "s", status: "rejected", reason: "no key", at: 2 });
  await hub.until(() => reloaded.returned.value?.op === op, "the prompt comes back");
  assert.equal(reloaded.outgoing.value[0]?.reason, "no key");
  reloaded.dispose();
});

Deno.test("a gap asks for the missing part; an older page goes in front", async () => {
  await using hub = startHub();
  const store = new SessionStore("s", null);
  store.start();
  await hub.until(() => switches(hub).length === 1, "attach");
  hub.send(attached(1, "snapshot", 9), snapshot(1, [message(5, "five"), message(6, "six")], 9));
  await hub.until(() => store.phase.value.kind === "ready", "snapshot");
  store.loadOlder();
  store.loadOlder();
  await hub.until(() => hub.received.some(({ type }) => type === "load_messages"), "load");
  const page = [0, 1, 2, 3, 4].map((index) => message(index, "old"));
  hub.send({
    type: "session_messages_page",
    sessionId: "s",
    generation: 1,
    entries: page,
    hasMore: false,
    oldestIndex: 0,
  });
  await hub.until(() => store.rows.value.firstIndex === 0, "older page");
  assert.deepEqual(store.rows.value.ids, ["e0", "e1", "e2", "e3", "e4", "e5", "e6"]);
  assert.equal(hub.received.filter(({ type }) => type === "load_messages").length, 1);
  const { seq: _, ...entry } = message(8, "eight");
  hub.send({ type: "event", sessionId: "s", epoch: 1, seq: 12, entry });
  await hub.until(() => switches(hub).length === 2, "re-attach");
  assert.deepEqual(switches(hub)[1]!.cursor, { epoch: 1, seq: 9 });
  store.dispose();
});

Deno.test("a session that is not there says so, and so does one that ended without its host's word", async () => {
  await using hub = startHub();
  const store = new SessionStore("s", null);
  store.start();
  await hub.until(() => switches(hub).length === 1, "attach");
  hub.send({ type: "error", code: "not_found", message: "no such session", sessionId: "s" });
  await hub.until(() => store.phase.value.kind === "gone", "gone");
  store.dispose();
  const ended = new SessionStore("s", null);
  ended.start();
  await hub.until(() => switches(hub).length === 2, "attach");
  const end = { reason: "failed", detail: "outside the roots", at: 1 };
  hub.send({ ...attached(1, "snapshot", 1), info: { ...info, activity: "ended", ended: end } }, snapshot(1, [], 1));
  await hub.until(() => ended.activity.value === "ended", "ended");
  assert.equal(ended.ended.value?.detail, "outside the roots");
  ended.dispose();
});
