import assert from "node:assert/strict";
import { openKv } from "./open.ts";

for (const isolates of [1, 4]) {
  const how = isolates > 1 ? "in turns" : "without taking turns";
  Deno.test(`four isolates write at once ${how}, and none of them fails`, async () => {
    const dir = await Deno.makeTempDir();
    const path = `${dir}/hub.db`;
    const kv = await openKv(path, { isolates });
    const workers = ["a", "b", "c", "d"].map((name) => {
      const worker = new Worker(new URL("./locked_worker.ts", import.meta.url), { type: "module" });
      worker.postMessage({ path, isolates, name, writes: 40 });
      return worker;
    });
    const errors = await Promise.all(workers.map((worker) =>
      new Promise<number>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
      })
    ));
    for (const worker of workers) worker.terminate();
    assert.deepEqual(errors, [0, 0, 0, 0]);
    assert.equal((await kv.get<Deno.KvU64>(["sum"])).value?.value, 160n);
    kv.close();
    await Deno.remove(dir, { recursive: true });
  });
}
