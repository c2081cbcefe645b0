/**
 * What terminals and tunnels must do when the viewer is connected to one isolate and the runner's data link to another. Told apart
 * from how the isolates are made: workers of one process, or processes on denokv (tests/isolates, tests/cluster).
 */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { closeCodes } from "@/protocol/mod.ts";
import { killPid } from "../support/child.ts";
import type { HubClient } from "../support/hub.ts";
import { Changes, eventually, within } from "../support/patience.ts";
import type { RunnerProcess } from "../support/runner.ts";
import { makeTerminal, TerminalClient } from "../terminal/terminal_client.ts";
import { openTunnelSocket } from "../tunnel/socket_client.ts";
import { answerOf, rssMb, TunnelClient, wholeOf } from "../tunnel/support.ts";
import { LocalApp, pattern, sha256 } from "./local_app.ts";

/** Three ways into one hub. */
export interface Isolates {
  /** Holds the runner's data link. */
  near: HubClient;
  /** Where viewers and browsers are. */
  far: HubClient;
  /** Another one, which may be `near` where there are two. */
  farther: HubClient;
  runner: RunnerProcess;
  /** The hub's processes: their memory must not grow with what nobody reads. */
  hubPids: number[];
}

const MB = 1_000_000;
/** Streams that stand still and take more memory than this are kept somewhere. */
const STALLED_MB = 96;
/** Bytes that may be on their way to a reader that stands still: what kernels keep (up to 36 MB at each of four hops), and the windows. */
const STALLED_BYTES = 150 * MB;
const encoder = new TextEncoder();
const shell = ["/bin/sh", "-c", "stty -echo; PS1= ENV= exec sh -i"];

/** Runs all of it, as steps of `t`. */
export async function tryStreamsAcross(t: Deno.TestContext, isolates: Isolates): Promise<void> {
  const { near, far, farther, runner } = isolates;
  const { runnerId } = runner;
  await using local = new LocalApp();
  const { tunnel } = await farther.api("POST", "/api/tunnels", { runnerId, port: local.port });
  const client = new TunnelClient(far, tunnel.tunnelId);
  await client.enter();
  await client.ready();

  await t.step("a terminal: typing, sizes, a second viewer elsewhere, the list, closing", async () => {
    const { terminalId } = await makeTerminal(far, runner, { command: shell });
    await using first = await TerminalClient.open(far, runnerId, terminalId, { cols: 100, rows: 30 });
    first.type("echo typed-$((40+2)); stty size\r");
    await first.shows("typed-42");
    await first.shows("30 100");
    await using second = await TerminalClient.open(farther, runnerId, terminalId, { cols: 40, rows: 12 });
    await second.until(() => second.text === first.text, "the same screen");
    assert.deepEqual([second.size?.cols, second.size?.isOwner], [100, false]);
    second.type("stty size\r");
    await first.until(() => first.size?.cols === 40 && !first.size.isOwner, "the size of who typed last");
    await first.shows("12 40");
    first.resize(90, 20);
    first.type("stty size\r");
    for (const viewer of [first, second]) await viewer.shows("20 90");
    const listed = async () => {
      const { terminals } = await farther.api("GET", `/api/terminals?runnerId=${runnerId}`);
      const { cols, rows, viewerCount } = terminals.find((one: { terminalId: string }) =>
        one.terminalId === terminalId
      );
      return cols === 90 && rows === 20 && viewerCount === 2;
    };
    await eventually(listed, "its size and its two viewers in the list");
    await farther.api("DELETE", `/api/terminals/${terminalId}?runnerId=${runnerId}`);
    for (const viewer of [first, second]) {
      await viewer.until(() => viewer.closeCode !== null, "the word that it was closed");
      assert.equal(viewer.closeCode, closeCodes.deleted);
    }
  });

  await t.step("a terminal: much output, much input", async () => {
    const { terminalId } = await makeTerminal(far, runner, { command: shell });
    await using viewer = await TerminalClient.open(far, runnerId, terminalId);
    await using other = await TerminalClient.open(farther, runnerId, terminalId);
    viewer.type("seq 1 300000; echo all-$((1+1))\r");
    for (const each of [viewer, other]) await each.shows("all-2");
    const newest = Array.from({ length: 9_000 }, (_, i) => `${291_001 + i}`).join("\n");
    for (const each of [viewer, other]) assert.ok(each.text.includes(newest), "the scrollback of both");
    viewer.type("echo listening; head -c 400000 | cksum\r");
    await viewer.shows("listening");
    const line = `${"0123456789".repeat(7)}abcdefghi\n`;
    for (let i = 0; i < 5_000; i++) viewer.type(line);
    await viewer.shows(`${await cksumOf(line.repeat(5_000))} 400000`);
    await far.api("DELETE", `/api/terminals/${terminalId}?runnerId=${runnerId}`);
  });

  await t.step("a tunnel: bodies of some MB both ways, many requests at once", async () => {
    const body = pattern(8 * MB);
    for (const coding of [{ "content-length": body.length }, { "transfer-encoding": "chunked" }]) {
      const request = client.request("POST", "/hash", coding);
      const answered = answerOf(request);
      request.end(body);
      assert.equal((await wholeOf(await within(answered, "the answer"))).text, sha256(body));
    }
    const down = await within(received(client, `/pattern?bytes=${8 * MB}`), "the download");
    assert.equal(sha256(down), sha256(body));
    const bodies = Array.from({ length: 30 }, (_, i) => body.subarray(i, 1_000 * (i + 1)));
    const answers = await Promise.all(bodies.map((body) => client.ask("POST", "/hash", { body })));
    assert.deepEqual(answers.map(({ text }) => text), bodies.map(sha256));
  });

  await t.step("a tunnel: server-sent events one by one; either side leaves, and the other learns of it", async () => {
    const feed = local.nextFeed();
    const request = client.request("GET", "/events");
    request.on("error", () => {});
    const answered = answerOf(request);
    request.end();
    const answer = await within(answered, "the head");
    const changes = new Changes();
    let got = "";
    answer.on("error", () => {});
    answer.on("data", (part: Uint8Array) => {
      got += new TextDecoder().decode(part);
      changes.notify();
    });
    const { send, left } = await feed;
    for (let i = 0; i < 5; i++) {
      send(`data: ${i}\n\n`);
      await changes.until(() => got.endsWith(`data: ${i}\n\n`), `event ${i}`);
    }
    request.destroy();
    await within(left, "the local server's notice that the client left");
    await assert.rejects(
      within(received(client, "/broken"), "the break"),
      (error: Error) => !/did not happen/.test(error.message),
    );
  });

  await t.step("a tunnel: a WebSocket's subprotocol, text, binary and close codes", async () => {
    const first = await openTunnelSocket(client, "/socket", ["json", "chat"]);
    assert.equal(first.socket.protocol, "chat");
    const binary = pattern(3 * MB);
    first.socket.send("häll\u{1f426}");
    first.socket.send(binary);
    assert.equal(await first.next(), "häll\u{1f426}");
    assert.deepEqual(await first.next(), binary);
    first.socket.send("close 4001 because");
    const there = await within(first.closed, "the close from there");
    assert.deepEqual([there.code, there.reason], [4001, "because"]);
    const second = await openTunnelSocket(client, "/socket");
    const seen = local.nextClose();
    second.socket.close(3123, "enough");
    const { code, reason } = await seen;
    assert.deepEqual([code, reason], [3123, "enough"]);
    await within(second.closed, "the close here");
  });

  await t.step("who does not read holds up nobody else, and fills no memory", () => tryStalls(client, local, isolates));

  await t.step(
    "revocation on one isolate cuts what goes through another",
    () => tryRevocation(client, isolates),
  );

  await t.step("the runner dies and comes back: every stream says so, new ones work", async () => {
    const { terminalId } = await makeTerminal(far, runner, { command: shell });
    await using viewer = await TerminalClient.open(far, runnerId, terminalId);
    const socket = await openTunnelSocket(client, "/socket");
    socket.socket.send("hello");
    await socket.next();
    const download = wholeOf(await begun(client, "/endless"));
    download.catch(() => {});
    const upload = client.ask("POST", "/never", { body: pattern(8 * MB) });
    upload.catch(() => {});
    await eventually(() => local.unanswered > 0, "the upload at the local server");
    const daemon = await runner.daemonPid();
    killPid(daemon);
    await viewer.until(() => viewer.closeCode !== null, "the terminal's end");
    assert.deepEqual(viewer.errors.map(({ code }) => code), ["unavailable"]);
    const { code } = await within(socket.closed, "the socket's end");
    assert.equal(code, 4011);
    await assert.rejects(
      within(download, "the download's end"),
      (error: Error) => !/did not happen/.test(error.message),
    );
    assert.equal((await within(upload, "the upload's end")).status, 502);
    await runner.daemonPid(daemon);
    await eventually(async () => (await client.ask("GET", "/")).status === 200, "the tunnel, with the new daemon");
  });

  await t.step("nothing is left open", async () => {
    await eventually(async () => await near.metric("perch_link_streams") === 0, "no stream on the link");
    for (const hub of [near, far, farther]) {
      await eventually(async () => await hub.metric("perch_connections", "terminal") === 0, "no viewer of a terminal");
    }
  });
}

/** Downloads and an upload that stand still, while others go on. */
async function tryStalls(client: TunnelClient, local: LocalApp, { hubPids }: Isolates): Promise<void> {
  const body = pattern(8 * MB);
  const exercise = async () => {
    for (let i = 0; i < 3; i++) assert.equal((await client.ask("POST", "/hash", { body })).text, sha256(body));
    assert.equal((await received(client, `/pattern?bytes=${8 * MB}`)).length, 8 * MB);
  };
  // The same work before and meanwhile: what it leaves for the garbage collector is no difference.
  const before = await peaksOf(hubPids, async () => {
    for (let i = 0; i < 3; i++) await exercise();
  });
  local.endlessBytes = 0;
  const stalled = Array.from({ length: 3 }, () => client.request("GET", "/endless"));
  const answers = stalled.map(answerOf);
  for (const request of stalled) {
    request.on("error", () => {});
    request.end();
  }
  const upload = client.request("POST", "/never", { "transfer-encoding": "chunked" });
  upload.on("error", () => {});
  // Nobody listens to the data of the answers, so nothing is read of them beyond one buffer.
  await within(Promise.all(answers), "the heads");
  let written = 0;
  const more = () => {
    written += MB;
    upload.write(body.subarray(0, MB));
  };
  upload.on("drain", more);
  more();
  const meanwhile = await peaksOf(hubPids, async () => {
    for (let i = 0; i < 2; i++) await exercise();
    const [taken, sent] = [local.endlessBytes, written];
    await exercise();
    assert.deepEqual([local.endlessBytes, written], [taken, sent], "they stand still");
  });
  const taken = local.endlessBytes;
  assert.ok(taken < 3 * STALLED_BYTES, `${taken} bytes were taken from the local server`);
  assert.ok(written < STALLED_BYTES, `${written} bytes were taken from the client`);
  const grown = meanwhile.map((mb, at) => Math.round(mb - before[at]!));
  assert.ok(grown.every((mb) => mb < STALLED_MB), `the hubs grew by ${grown} MB`);
  console.log(
    `    stalled: ${(taken / 3 / MB).toFixed(1)} MB a download, ${
      written / MB
    } MB of the upload; hubs grew by ${grown} MB`,
  );
  for (const request of [...stalled, upload]) request.destroy();
}

/** The most memory of each process during some work, in MB. */
async function peaksOf(pids: readonly number[], work: () => Promise<void>): Promise<number[]> {
  let peaks = pids.map(rssMb);
  const timer = setInterval(() => peaks = pids.map((pid, at) => Math.max(peaks[at]!, rssMb(pid))), 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return peaks;
}

/** A key that is revoked, and a tunnel that is closed, where neither the streams nor the link are. */
async function tryRevocation(client: TunnelClient, { far, farther, runner }: Isolates): Promise<void> {
  const { runnerId } = runner;
  const { id, key } = await far.makeKey(far.person, "short-lived");
  const { terminalId } = await makeTerminal(far, runner, { command: shell });
  await using viewer = await TerminalClient.open(far, runnerId, terminalId, { apiKey: key });
  await using owner = await TerminalClient.open(far, runnerId, terminalId);
  const byKey = new TunnelClient(far, client.tunnelId);
  const ticket = await far.fetch(`/api/tunnels/${client.tunnelId}/ticket`, {
    method: "POST",
    body: "{}",
    headers: { authorization: `Bearer ${key}` },
  });
  const { url } = await ticket.json();
  assert.equal((await byKey.post({ ticket: new URL(url).hash.slice("#ticket=".length) })).status, 204);
  const streams = async (of: TunnelClient) => {
    const socket = await openTunnelSocket(of, "/socket");
    const whole = wholeOf(await begun(of, "/endless"));
    whole.catch(() => {});
    return { closed: socket.closed, whole };
  };
  const areCut = async ({ closed, whole }: { closed: Promise<CloseEvent>; whole: Promise<unknown> }) => {
    assert.equal((await within(closed, "the socket's end")).code, 4011);
    await assert.rejects(within(whole, "the download's end"), (error: Error) => !/did not happen/.test(error.message));
  };
  const theirs = await streams(byKey);
  await farther.api("DELETE", `/api/keys/${id}`);
  await areCut(theirs);
  await viewer.until(() => viewer.closeCode !== null, "the end of the key's viewer");
  assert.equal(viewer.closeCode, closeCodes.unauthorized);
  assert.equal((await byKey.ask("GET", "/")).status, 401);
  assert.equal((await client.ask("GET", "/")).status, 200, "the owner's way in is another");
  owner.type("echo still-$((1+1))\r");
  await owner.shows("still-2");

  // Of another port: there is one tunnel for each.
  await using local = new LocalApp();
  const { tunnel } = await farther.api("POST", "/api/tunnels", { runnerId, port: local.port });
  const other = new TunnelClient(far, tunnel.tunnelId);
  await other.enter();
  const under = await streams(other);
  await farther.api("DELETE", `/api/tunnels/${tunnel.tunnelId}`);
  await areCut(under);
  assert.equal((await other.ask("GET", "/")).status, 404);
}

/** The head of an answer whose body is still to come. */
async function begun(client: TunnelClient, path: string): Promise<IncomingMessage> {
  const request = client.request("GET", path);
  request.on("error", () => {});
  const answered = answerOf(request);
  request.end();
  const answer = await within(answered, `the head of ${path}`);
  assert.equal(answer.statusCode, 200);
  return answer;
}

/** The whole body of an answer. Rejects when it breaks off. */
async function received(client: TunnelClient, path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of await begun(client, path)) parts.push(part as Uint8Array);
  return await new Blob(parts as BlobPart[]).bytes();
}

async function cksumOf(text: string): Promise<string> {
  const child = new Deno.Command("cksum", { stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(encoder.encode(text));
  await writer.close();
  return new TextDecoder().decode((await child.output()).stdout).split(" ")[0]!;
}
