/** Deletes every key that a selector names, in commits of 500; resolves with how many. Safe to run again after a crash. */
export async function deleteRange(kv: Deno.Kv, selector: Deno.KvListSelector): Promise<number> {
  let deleted = 0;
  let atomic = kv.atomic();
  let pending = 0;
  // Keys only would do, but Deno KV lists values with them: small batches bound the memory (a row is at most 64 KiB).
  for await (const { key } of kv.list(selector, { batchSize: 100 })) {
    atomic.delete(key);
    if (++pending === 500) {
      await atomic.commit();
      deleted += pending;
      pending = 0;
      atomic = kv.atomic();
    }
  }
  if (pending > 0) await atomic.commit();
  return deleted + pending;
}
