/** Large bodies: whole, in ranges, both ways; memory does not grow with them. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { PeakMemory } from "@/bench/load/peak_memory.ts";
import { RawHttp } from "@/bench/load/raw_http.ts";
import { within } from "../support/patience.ts";
import { answerOf, localServer, startRig } from "./support.ts";

const UPLOAD_BYTES = 500_000_000;
const SPARSE_BYTES = 2_000_000_000;
/** What hub and runner may each take beyond what they take when idle. */
const OVER_IDLE_MB = 64;
/** Idle: started, and this many small requests ago, so that code is compiled and connections are open. */
const WARM_UP_REQUESTS = 50;
const LONG_MS = 120_000;

Deno.test("tunnel - a large body arrives as it was sent, however slowly it is read", async () => {
  await using rig = await startRig();
  const total = 60_000_000;
  const byteAt = (at: number) => (at * 31 + (at >> 8) * 7) & 255;
  await using local = localServer(() => {
    let at = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (at >= total) return controller.close();
        const piece = new Uint8Array(Math.min(100_003, total - at));
        for (let index = 0; index < piece.length; index++) piece[index] = byteAt(at + index);
        at += piece.length;
        controller.enqueue(piece);
      },
    });
    return new Response(body);
  });
  const tunnel = await rig.expose(local.port);
  const request = tunnel.request("GET", "/");
  const answered = answerOf(request);
  request.end();
  let at = 0;
  for await (const part of await within(answered, "the head")) {
    const bytes = part as Uint8Array;
    for (let index = 0; index < bytes.length; index++) {
      if (bytes[index] !== byteAt(at + index)) assert.fail(`byte ${at + index} is not what was sent`);
    }
    at += bytes.length;
    if (at % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(at, total);
});

Deno.test("tunnel - 2 GB down with a range, 500 MB up, beside a download that nobody reads: hub and runner stay small", async () => {
  await using rig = await startRig();
  const sparse = await Deno.makeTempFile({ prefix: "perch-sparse-" });
  try {
    await Deno.truncate(sparse, SPARSE_BYTES);
    await using local = localServer((req) => req.method === "POST" ? countBody(req) : sendPart(sparse, req));
    const tunnel = await rig.expose(local.port);
    const warm = await RawHttp.open(rig.hub.port, tunnel.host, tunnel.cookie);
    for (let i = 0; i < WARM_UP_REQUESTS; i++) assert.equal(await warm.post("/", new Uint8Array(100), 1), 3);
    warm.close();
    using memory = new PeakMemory({ hub: rig.hub.pid, runner: await rig.runner.daemonPid() });

    const range = await tunnel.ask("GET", "/", { headers: { range: "bytes=1999999000-1999999999" } });
    assert.deepEqual([range.status, range.text.length], [206, 1_000]);
    assert.equal(range.headers["content-range"], "bytes 1999999000-1999999999/2000000000");
    check(memory, "a range");

    const stalled = await RawHttp.open(rig.hub.port, tunnel.host, tunnel.cookie);
    await within(stalled.stall("/"), "the head of the download that nobody reads");
    const http = await RawHttp.open(rig.hub.port, tunnel.host, tunnel.cookie);
    const piece = new Uint8Array(250_000);
    const answerBytes = await within(http.post("/", piece, UPLOAD_BYTES / piece.byteLength), "the upload", LONG_MS);
    assert.equal(answerBytes, String(UPLOAD_BYTES).length);
    check(memory, "an upload of 500 MB");
    assert.equal(await within(http.get("/"), "the download", LONG_MS), SPARSE_BYTES);
    check(memory, "a download of 2 GB");
    http.close();
    stalled.close();
  } finally {
    await Deno.remove(sparse);
  }
});

/** Fails when one of them has taken more than it may. */
function check(memory: PeakMemory<"hub" | "runner">, after: string): void {
  for (const name of ["hub", "runner"] as const) {
    const overMb = memory.overIdleMb(name);
    console.log(`${name}: ${overMb.toFixed(0)} MB over idle after ${after}`);
    assert.ok(overMb <= OVER_IDLE_MB, `${name} took ${overMb.toFixed(1)} MB more than idle for ${after}`);
  }
}

async function countBody(req: Request): Promise<Response> {
  let bytes = 0;
  for await (const piece of req.body ?? []) bytes += piece.byteLength;
  return new Response(`${bytes}`);
}

/** The file, or the part of it that the request asks for. */
async function sendPart(path: string, req: Request): Promise<Response> {
  const [, from = "0", to = `${SPARSE_BYTES - 1}`] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.get("range") ?? "") ?? [];
  const file = await Deno.open(path);
  await file.seek(Number(from), Deno.SeekMode.Start);
  const length = Number(to) - Number(from) + 1;
  const isRange = req.headers.has("range");
  return new Response(file.readable.pipeThrough(firstBytes(length)), {
    status: isRange ? 206 : 200,
    headers: {
      "content-length": String(length),
      "accept-ranges": "bytes",
      ...(isRange ? { "content-range": `bytes ${from}-${to}/${SPARSE_BYTES}` } : {}),
    },
  });
}

/** Passes on so many bytes and no more. */
function firstBytes(count: number): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let left = count;
  return new TransformStream({
    transform(bytes, controller) {
      if (left > 0) controller.enqueue(bytes.byteLength <= left ? bytes : bytes.subarray(0, left));
      left -= bytes.byteLength;
      if (left <= 0) controller.terminate();
    },
  });
}
