/**
 * What the store is compared with: bare loops over `Deno.openKv` that write the same bytes on the same disk, one record a `set` or
 * some hundred in one commit. A process of its own: `baseline_store.ts <file> <records> <bytes> <records a commit>`; prints the records a second.
 */
const [path, records, bytes, perCommit] = Deno.args;
const kv = await Deno.openKv(path);
const value = new Uint8Array(Number(bytes)).fill(0x20);
const size = Number(perCommit);
const startMs = performance.now();
for (let from = 0; from < Number(records); from += size) {
  if (size === 1) {
    await kv.set(["record", from], value);
    continue;
  }
  const atomic = kv.atomic();
  for (let i = from; i < from + size; i++) atomic.set(["record", i], value);
  await atomic.commit();
}
console.log(`${Number(records) / (performance.now() - startMs) * 1_000} records/s`);
kv.close();
