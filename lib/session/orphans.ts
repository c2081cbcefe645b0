/**
 * Parts of blobs that no row refers to: a large value is written parts first (KvWriter), so a crash in between leaves some. A
 * writer that is alive may be in the middle of the very same, therefore each removal rewrites the row that the writer's last
 * commit checks (`fence`): that commit then fails, and the writer makes the value again under a new blob.
 */
import { deleteRange } from "@/lib/kv/delete.ts";
import { type BlobKey, blobOwner, type Packed } from "@/lib/kv/packed.ts";

export interface BlobRange {
  blobs: BlobKey;
  /** The row whose versionstamp every commit that refers to a blob checks. */
  fence: Deno.KvKey;
  /** What lies now in the row that a blob was made for. */
  refOf(owner: string): Promise<Packed | null>;
}

/** Removes them; resolves with how many blobs that were. Costs two reads for each blob there is. Safe to run again, anywhere. */
export async function removeOrphans(kv: Deno.Kv, { blobs, fence, refOf }: BlobRange): Promise<number> {
  const all = blobs("").slice(0, -1);
  let removed = 0;
  let start: Deno.KvKey | null = null;
  for (;;) {
    const selector: Deno.KvListSelector = start === null ? { prefix: all } : { prefix: all, start };
    const first: IteratorResult<Deno.KvEntry<unknown>, undefined> = await kv.list(selector, { limit: 1, batchSize: 1 })
      .next();
    if (first.done) return removed;
    const blob: string = String(first.value.key[all.length]);
    // Right after the blob's last part: parts are numbers, and booleans sort after them.
    start = [...blobs(blob), true];
    const fenceRow = await kv.get(fence);
    const value = await refOf(blobOwner(blob));
    if (value !== null && !(value instanceof Uint8Array) && value.blob === blob) continue;
    if (fenceRow.value === null) return removed; // being deleted, with all of it
    const result = await kv.atomic().check(fenceRow).set(fence, fenceRow.value).commit();
    if (!result.ok) continue; // something was written meanwhile: next time
    await deleteRange(kv, { prefix: blobs(blob) });
    removed++;
  }
}
