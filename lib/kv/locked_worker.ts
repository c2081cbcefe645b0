/** For locked_test.ts: writes without a pause, as another isolate of the process. */
/// <reference lib="deno.worker" />
import { openKv } from "./open.ts";

const worker = self as unknown as DedicatedWorkerGlobalScope;

worker.onmessage = async ({ data }: MessageEvent<{ path: string; isolates: number; name: string; writes: number }>) => {
  const kv = await openKv(data.path, { isolates: data.isolates });
  let errors = 0;
  for (let n = 0; n < data.writes; n++) {
    const atomic = kv.atomic();
    for (let row = 0; row < 20; row++) atomic.set([data.name, n, row], new Uint8Array(500));
    await atomic.sum(["sum"], 1n).commit().catch(() => errors++);
  }
  kv.close();
  worker.postMessage(errors);
};
