/** What a hub tells of itself: metrics of all isolates, readiness, log lines. */
import assert from "node:assert/strict";
import { startHub } from "../support/hub.ts";
import { IsolateProxy, isolatesOf } from "../support/isolate_proxy.ts";
import { ScriptedProducer } from "../support/producer.ts";
import { bearer, Peer } from "../support/socket.ts";
import { ScriptedViewer } from "../support/viewer.ts";
import { parseMetrics, total } from "./prometheus.ts";

async function scrape(url: string, token: string) {
  const response = await fetch(`${url}/metrics`, { headers: bearer(token) });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  return parseMetrics(await response.text());
}

Deno.test("/metrics holds all isolates, whichever is asked, and agrees with what happened", async () => {
  await using hub = await startHub({ isolates: 2 });
  const [first, second] = await isolatesOf(hub, 2) as [string, string];
  await using here = new IsolateProxy(hub, first);
  await using there = new IsolateProxy(hub, second);
  await using producer = new ScriptedProducer(here);
  await producer.registered();
  await using viewer = new ScriptedViewer(there, producer.sessionId);
  await viewer.live();
  await using raw = await Peer.open(there, "hub");
  raw.send({ type: "from_the_future" });
  raw.socket.send("{");
  await raw.next("error");
  for (let i = 0; i < 300; i++) producer.say(`message ${i}`);
  await producer.settled();
  await viewer.until(() => viewer.timeline.cursor?.seq === 300, "the last record");

  for (const url of [here.url, there.url]) {
    const metrics = await scrape(url, hub.apiKey);
    assert.deepEqual(
      metrics.get("perch_isolate_up")!.samples.map(({ labels, value }) => [labels.isolate, value]).sort(),
      [[first, 1], [second, 1]].sort(),
    );
    assert.equal(total(metrics, "perch_connections", { namespace: "relay", isolate: first }), 1);
    assert.equal(total(metrics, "perch_connections", { namespace: "viewer", isolate: second }), 1);
    assert.equal(total(metrics, "perch_connections", { namespace: "hub", isolate: second }), 1);
    assert.equal(total(metrics, "perch_live_sessions"), 1);
    assert.equal(total(metrics, "perch_records_received_total"), 300);
    assert.equal(total(metrics, "perch_records_committed_total"), 300);
    assert.ok(total(metrics, "perch_deliveries_total", { isolate: second }) >= 300);
    assert.equal(total(metrics, "perch_unknown_types_total", { namespace: "hub" }), 1);
    assert.equal(total(metrics, "perch_frames_refused_total", { code: "bad_frame" }), 1);
    assert.equal(total(metrics, "perch_uncommitted_records"), 0);
    assert.equal(total(metrics, "perch_mesh_peers"), 2);
    assert.equal(total(metrics, "perch_writer_queue_bytes"), 0);
    assert.ok(total(metrics, "perch_socket_received_bytes_total", { namespace: "relay" }) > 300 * 100);
    assert.ok(total(metrics, "perch_socket_sent_bytes_total", { namespace: "viewer" }) > 300 * 100);
    assert.ok(total(metrics, "perch_writer_commits_total") > 0);
    assert.equal(metrics.get("perch_process_resident_memory_bytes")?.samples.length, 1, "one process is told once");
    const commits = metrics.get("perch_commit_seconds")!.samples.find(({ name }) => name.endsWith("_count"));
    assert.ok(commits !== undefined && commits.value > 0);
    for (const name of ["perch_mesh_unread_bytes", "perch_mesh_outbox_bytes", "perch_event_loop_lag_seconds"]) {
      assert.ok(metrics.has(name), name);
    }
  }
});

Deno.test("/metrics is for API keys, or for its own token alone", async () => {
  {
    await using hub = await startHub();
    const stranger = await fetch(`${hub.url}/metrics`);
    await stranger.body?.cancel();
    assert.equal(stranger.status, 401);
    const browser = await hub.fetch("/metrics");
    await browser.body?.cancel();
    assert.equal(browser.status, 401);
  }
  const token = "a-token-of-the-test";
  await using hub = await startHub({ env: { PERCH_METRICS_TOKEN: token } });
  await scrape(hub.url, token);
  const key = await fetch(`${hub.url}/metrics`, { headers: bearer(hub.apiKey) });
  await key.body?.cancel();
  assert.equal(key.status, 401);
});

Deno.test("a log line is one JSON object; requests have an id, a route and no path; levels hold", async () => {
  let lines: Record<string, unknown>[] = [];
  let sessionId = "";
  const readLog = async (path: string) =>
    (await Deno.readTextFile(path)).trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  {
    await using hub = await startHub();
    await using producer = new ScriptedProducer(hub, { runnerId: "runner-of-the-log" });
    await producer.registered();
    sessionId = producer.sessionId;
    const response = await hub.fetch(`/api/sessions/${sessionId}`);
    await response.body?.cancel();
    const requestId = response.headers.get("x-request-id");
    assert.ok(requestId);
    await hub.stop();
    lines = await readLog(hub.logPath);
    const request = lines.find((line) => line.requestId === requestId);
    assert.deepEqual(
      [request?.event, request?.method, request?.route, request?.status, request?.level],
      ["request", "GET", "/api/sessions/:id", 200, "info"],
    );
    assert.equal(typeof request?.ms, "number");
  }
  const registered = lines.find(({ event }) => event === "host_registered");
  assert.deepEqual([registered?.sessionId, registered?.runnerId], [sessionId, "runner-of-the-log"]);
  const opened = lines.find((line) => line.event === "socket_opened" && line.namespace === "relay");
  assert.equal(opened?.socketId, registered?.socketId);
  assert.ok(lines.some((line) => line.event === "request" && line.requestId === opened?.requestId));
  assert.ok(lines.every(({ isolate, at }) => typeof isolate === "string" && Number.isFinite(Date.parse(String(at)))));
  assert.ok(!lines.some(({ route }) => route === "/healthz"), "health checks are logged at debug only");

  await using quiet = await startHub({ env: { PERCH_LOG_LEVEL: "warning" } });
  await quiet.stop();
  assert.equal(await Deno.readTextFile(quiet.logPath), "");
});
