/** Files that are either the old version or the new one, whatever happens in between. */
import { dirname, join } from "node:path";

/**
 * Replaces a file: a temporary file beside it is written, synced to disk and renamed over it. `mode` 0600 unless told,
 * because everything that the runner keeps may hold secrets or conversations.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): void {
  const temporary = join(dirname(path), `.${crypto.randomUUID()}.tmp`);
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  try {
    const file = Deno.openSync(temporary, { write: true, createNew: true, mode });
    try {
      writeAllSync(file, bytes);
      file.syncDataSync();
    } finally {
      file.close();
    }
    Deno.renameSync(temporary, path);
  } catch (error) {
    removeIfExists(temporary);
    throw error;
  }
}

/** Writes all of `bytes`; write(2) may take less than it was given. */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length;) offset += file.writeSync(bytes.subarray(offset));
}

/** Fills `bytes` from where the file stands; returns how many there were. */
export function readFullSync(file: Deno.FsFile, bytes: Uint8Array): number {
  let length = 0;
  while (length < bytes.length) {
    const read = file.readSync(bytes.subarray(length));
    if (read === null) break;
    length += read;
  }
  return length;
}

/** Reads a whole open file. */
export function readAllSync(file: Deno.FsFile): Uint8Array {
  const bytes = new Uint8Array(file.statSync().size);
  file.seekSync(0, Deno.SeekMode.Start);
  return bytes.subarray(0, readFullSync(file, bytes));
}

/** Reads a text file, or null when there is none. */
export function readTextIfExists(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Removes a file; none there is fine. */
export function removeIfExists(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
