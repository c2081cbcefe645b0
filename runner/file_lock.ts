/** A lock that the kernel gives back when its holder dies, however it dies: no stale locks (flock). */

export class FileLock {
  private constructor(readonly path: string, readonly file: Deno.FsFile) {}

  /** Takes the lock, or returns null when another process (or another part of this one) holds it. */
  static tryTake(path: string): FileLock | null {
    const file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
    try {
      if (file.tryLockSync(true)) return new FileLock(path, file);
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
    return null;
  }

  /** As tryTake, but tries again for a while. */
  static async take(path: string, maxMs: number): Promise<FileLock | null> {
    const deadline = Date.now() + maxMs;
    for (let lock = FileLock.tryTake(path);; lock = FileLock.tryTake(path)) {
      if (lock || Date.now() >= deadline) return lock;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Writes what others may read about the holder. */
  write(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.file.truncateSync(0);
    this.file.seekSync(0, Deno.SeekMode.Start);
    this.file.writeSync(bytes);
  }

  release(): void {
    this.file.close();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
