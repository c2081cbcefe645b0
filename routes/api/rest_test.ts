/** The REST routes of sessions and runners, mounted on an app as the build mounts them. */
import assert from "node:assert/strict";
import { App } from "fresh";
import { Peer, register, startHub, type TestHub, textEvent } from "@/lib/gateway/testing.ts";
import type { State } from "@/lib/state.ts";
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import * as healthz from "../healthz.ts";
import principalMiddleware from "../_middleware.ts";
import * as runners from "./runners/index.ts";
import * as runner from "./runners/[id]/index.ts";
import * as agents from "./runners/[id]/agents.ts";
import * as files from "./runners/[id]/files.ts";
import * as sessions from "./sessions/index.ts";
import * as session from "./sessions/[id]/index.ts";
import * as commands from "./sessions/[id]/commands/index.ts";
import * as command from "./sessions/[id]/commands/[op].ts";
import * as entries from "./sessions/[id]/entries.ts";
import * as kill from "./sessions/[id]/kill.ts";
import * as resume from "./sessions/[id]/resume.ts";

const origin = "http://127.0.0.1:7700";

interface Answer {
  status: number;
  // deno-lint-ignore no-explicit-any -- tests look into answers of every route
  body: any;
}
type Ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

function mount({ hub }: TestHub): Ask {
  const app = new App<State>()
    .use((ctx) => {
      ctx.state.hub = hub;
      return ctx.next();
    })
    .use(principalMiddleware)
    .route("/healthz", healthz)
    .route("/api/runners", runners)
    .route("/api/runners/:id", runner)
    .route("/api/runners/:id/agents", agents)
    .route("/api/runners/:id/files", files)
    .route("/api/sessions", sessions)
    .route("/api/sessions/:id", session)
    .route("/api/sessions/:id/commands", commands)
    .route("/api/sessions/:id/commands/:op", command)
    .route("/api/sessions/:id/entries", entries)
    .route("/api/sessions/:id/kill", kill)
    .route("/api/sessions/:id/resume", resume);
  const handler = app.handler();
  return async (method, path, body, headers = { authorization: "Bearer key-ann" }) => {
    const init: RequestInit = { method, headers: { host: "127.0.0.1:7700", ...headers } };
    if (body !== undefined) init.body = typeof body === "string" ? body : JSON.stringify(body);
    const response = await handler(new Request(`${origin}${path}`, init));
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  };
}

async function openRunner(hub: TestHub): Promise<Peer> {
  const runner = await Peer.open(hub, "runner", "ann");
  runner.send({
    type: "register_runner",
    protocolVersion: PROTOCOL_VERSION,
    runnerId: "runner-1",
    name: "box",
    roots: ["/work"],
    agents: [{ id: "demo", name: "Demo agent", transport: "acp", available: true, isDemo: true }],
    version: "1.0.0",
    platform: "linux",
    sessionIds: [],
    warnings: [],
  });
  await runner.next("runner_registered");
  return runner;
}

Deno.test("starting, listing, commanding, ending and deleting a session over REST", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const ask = mount(hub);
  await using runner = await openRunner(hub);
  const start = { runnerId: "runner-1", cwd: "/work", agent: { agentId: "demo" }, prompt: "hi" };
  const started = await ask("POST", "/api/sessions", start);
  assert.equal(started.status, 202);
  const { sessionId, op, runnerConnected } = started.body;
  assert.equal(runnerConnected, true);
  assert.equal((await runner.next("command")).op, op);
  const path = `/api/sessions/${sessionId}`;
  assert.equal((await ask("GET", "/api/sessions")).body.sessions[0].sessionId, sessionId);
  assert.equal((await ask("GET", path)).body.session.agent.isDemo, true);
  assert.equal((await ask("GET", `${path}/commands/${op}`)).body.status, "accepted");

  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register(sessionId));
  const { epoch } = await host.next("registered");
  host.send(textEvent(sessionId, epoch, 1), textEvent(sessionId, epoch, 2));
  await host.next("event_ack", ({ seq }) => seq === 2);
  const page = await ask("GET", `${path}/entries?limit=1`);
  assert.deepEqual([page.body.entries[0].index, page.body.hasMore], [1, true]);
  assert.equal((await ask("GET", `${path}/entries?limit=0`)).status, 400);

  const command = { op: "op-1", command: { kind: "cancel" } };
  const accepted = await ask("POST", `${path}/commands`, command);
  assert.deepEqual([accepted.status, accepted.body.status], [202, "accepted"]);
  await host.next("command");
  host.send({ type: "command_result", op: "op-1", status: "applied" }, { type: "ping" });
  await host.next("pong");
  while ((await ask("GET", `${path}/commands/op-1`)).body.status !== "applied");
  assert.equal((await ask("GET", `${path}/commands/none`)).status, 404);

  assert.equal((await ask("POST", `${path}/resume`)).status, 409);
  assert.equal((await ask("POST", `${path}/kill`, {})).status, 202);
  // What it was asked before and has not answered may be handed to it again.
  await runner.next("command", ({ command }) => command.kind === "kill_session");
  assert.equal((await ask("DELETE", path)).status, 204);
  await host.next("session_expired");
  assert.equal((await ask("GET", path)).status, 404);
});

Deno.test("runners over REST", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const ask = mount(hub);
  await using runner = await openRunner(hub);
  assert.equal((await ask("GET", "/api/runners")).body.runners[0].name, "box");
  assert.equal((await ask("GET", "/api/runners/runner-1")).body.runner.isConnected, true);
  const listing = ask("GET", "/api/runners/runner-1/files?path=/work&prefix=s&directoriesOnly=1");
  const { requestId, prefix } = await runner.next("list_files");
  assert.equal(prefix, "s");
  runner.send({ type: "file_result", requestId, ok: true, path: "/work", entries: [] });
  assert.deepEqual(await listing, { status: 200, body: { path: "/work", entries: [], isTruncated: false } });
  assert.equal((await ask("DELETE", "/api/runners/runner-1")).status, 204);
  await runner.closed;
  assert.equal((await ask("POST", "/api/runners/runner-1/agents")).status, 404);
});

Deno.test("REST refuses strangers, other sites, other users and wrong bodies, each with its typed error", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const ask = mount(hub);
  await using host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  assert.deepEqual((await ask("GET", "/api/sessions", undefined, {})).body.error.code, "unauthorized");
  const cookie = { cookie: "session=ann" };
  const post = (headers: Record<string, string>, body: unknown = { command: { kind: "cancel" } }) =>
    ask("POST", "/api/sessions/s1/commands", body, headers);
  assert.equal((await post({ ...cookie, origin: "https://evil.example" })).status, 403);
  assert.equal((await post(cookie)).status, 403);
  assert.equal((await post({ ...cookie, origin })).status, 202);
  assert.equal((await post({ ...cookie, "sec-fetch-site": "same-origin" })).status, 202);
  const wrong = await post({ ...cookie, origin }, { command: { kind: "rename", title: "" } });
  assert.deepEqual([wrong.status, wrong.body.error.field], [400, "command.title"]);
  assert.equal((await post({ ...cookie, origin }, "{")).body.error.message, "the body is not JSON");
  const routes: [string, string, unknown?][] = [
    ["GET", ""],
    ["DELETE", ""],
    ["GET", "/entries"],
    ["POST", "/kill", {}],
    ["POST", "/resume", {}],
    ["POST", "/commands", { op: "o", command: { kind: "cancel" } }],
    ["GET", "/commands/o"],
  ];
  const bob = { authorization: "Bearer key-bob" };
  for (const [method, path, body] of routes) {
    const foreign = await ask(method, `/api/sessions/s1${path}`, body, bob);
    const unknown = await ask(method, `/api/sessions/s0${path}`, body, bob);
    assert.equal(foreign.status, 404, `${method} ${path}`);
    assert.equal(JSON.stringify(foreign).replaceAll("s1", "s0"), JSON.stringify(unknown));
  }
  assert.equal((await ask("GET", "/api/sessions/s1")).status, 200, "and nothing happened to it");
});

Deno.test("healthz tells that KV answers, to anybody", async () => {
  using kv = await Deno.openKv(":memory:");
  await using hub = await startHub(kv);
  const { status, body } = await mount(hub)("GET", "/healthz", undefined, {});
  assert.equal(status, 200);
  assert.deepEqual([body.status, body.kv, body.version], ["ok", "ok", "0.0.0"]);
  assert.ok(body.uptimeMs >= 0 && body.isolate.length > 0);
});
