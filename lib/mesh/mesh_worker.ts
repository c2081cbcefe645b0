/** An isolate for mesh_test.ts: opens the same database in a worker and does what it is told. */
/// <reference lib="deno.worker" />
import { openKv } from "@/lib/kv/open.ts";
import { openMesh } from "./mesh.ts";
import type { Topic } from "./types.ts";

export type WorkerOrder =
  | { type: "open"; path: string; isolateId: string; leaseMs: number; renewMs: number }
  | { type: "subscribe"; topic: Topic }
  | { type: "publish"; topic: Topic; from: number; to: number }
  | { type: "call"; isolateId: string; method: string; params: unknown }
  | { type: "close" };

const worker = self as unknown as DedicatedWorkerGlobalScope;
let mesh: Awaited<ReturnType<typeof openMesh>>;
let kv: Deno.Kv;

worker.onmessage = async ({ data }: MessageEvent<WorkerOrder>) => {
  switch (data.type) {
    case "open":
      kv = await openKv(data.path);
      mesh = await openMesh({ ...data, kv });
      mesh.serve("double", (value) => Promise.resolve(Number(value) * 2));
      mesh.serve("never", () => new Promise(() => {}));
      break;
    case "subscribe":
      await mesh.subscribe(data.topic, (payload) => worker.postMessage({ type: "delivered", payload })).ready;
      break;
    case "publish":
      for (let n = data.from; n < data.to; n++) mesh.publish(data.topic, n);
      break;
    case "call":
      worker.postMessage({ type: "result", result: await mesh.call(data.isolateId, data.method, data.params) });
      return;
    case "close":
      await mesh[Symbol.asyncDispose]();
      kv.close();
      break;
  }
  worker.postMessage({ type: "done", order: data.type });
};
