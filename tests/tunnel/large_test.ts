/** Large bodies: whole, in ranges, both ways; memory does not grow with them. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { RawHttp } from "@/bench/load/raw_http.ts";
import { within } from "../support/patience.ts";
import { answerOf, localServer, rssMb, startRig } from "./support.ts";

const UPLOAD_BYTES = 500_000_000;
const SPARSE_BYTES = 2_000_000_000;
/** How much more memory four times the bytes may take. */
const FLAT_MB = 64;
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

Deno.test("tunnel - 2 GB down with a range, 500 MB up, in flat memory", async () => {
  await using rig = await startRig();
  const sparse = await Deno.makeTempFile({ prefix: "perch-sparse-" });
  try {
    await Deno.truncate(sparse, SPARSE_BYTES);
    await using local = localServer(async (req) => {
      if (req.method === "POST") {
        let bytes = 0;
        for await (const piece of req.body ?? []) bytes += piece.byteLength;
        return new Response(`${bytes}`);
      }
      const [, from = "0", to = `${SPARSE_BYTES - 1}`] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.get("range") ?? "") ??
        [];
      const file = await Deno.open(sparse);
      await file.seek(Number(from), Deno.SeekMode.Start);
      const length = Number(to) - Number(from) + 1;
      const part = file.readable.pipeThrough(firstBytes(length));
      const isRange = req.headers.has("range");
      return new Response(part, {
        status: isRange ? 206 : 200,
        headers: {
          "content-length": String(length),
          "accept-ranges": "bytes",
          ...(isRange ? { "content-range": `bytes ${from}-${to}/${SPARSE_BYTES}` } : {}),
        },
      });
    });
    const tunnel = await rig.expose(local.port);
    const range = await tunnel.ask("GET", "/", { headers: { range: "bytes=1999999000-1999999999" } });
    assert.deepEqual([range.status, range.text.length], [206, 1_000]);
    assert.equal(range.headers["content-range"], "bytes 1999999000-1999999999/2000000000");

    const pids = [rig.hub.pid, await rig.runner.daemonPid()];
    const peaksOf = async (work: Promise<number>): Promise<number[]> => {
      let peaks = pids.map(rssMb);
      const timer = setInterval(() => peaks = pids.map((pid, at) => Math.max(peaks[at]!, rssMb(pid))), 50);
      try {
        await within(work, "the bytes", LONG_MS);
      } finally {
        clearInterval(timer);
      }
      return peaks;
    };
    const http = await RawHttp.open(rig.hub.port, tunnel.host, tunnel.cookie);
    const piece = new Uint8Array(250_000);
    const uploaded = await peaksOf(http.post("/", piece, UPLOAD_BYTES / piece.byteLength));
    const downloading = http.get("/");
    const downloaded = await peaksOf(downloading);
    assert.equal(await downloading, SPARSE_BYTES);
    const again = await peaksOf(http.get("/"));
    http.close();
    console.log(`peaks of hub and runner in MB: ${[uploaded, downloaded, again].map((two) => two.map(Math.round))}`);
    for (const at of [0, 1]) assert.ok(again[at]! - downloaded[at]! < FLAT_MB, `${downloaded} → ${again}`);
  } finally {
    await Deno.remove(sparse);
  }
});

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
