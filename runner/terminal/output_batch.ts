/**
 * Output of a pty on its way to emulator and viewers. Reads come as 4 KB each, thousands a second: what comes within one turn is
 * merged, in buffers that are used again and again. Memory that V8 has to find again is found late: 100 MB of output would
 * stand in it for as much as 100 MB.
 */
import { terminalLimits } from "@/protocol/terminal.ts";

/** Output is merged into chunks of this size at most. */
export const CHUNK_BYTES = terminalLimits.messageBytes;
/** Buffers that are kept: as many as can wait for the emulator. */
const KEPT_BUFFERS = terminalLimits.emulatorBytes / CHUNK_BYTES;

/** Buffers of CHUNK_BYTES, used again. */
export class ChunkPool {
  readonly #free: ArrayBufferLike[] = [];

  /** An empty chunk; what is in it is of no meaning. */
  take(): Uint8Array {
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(CHUNK_BYTES));
  }

  /** Nobody reads or writes these bytes any more. Those that did not come from here are ignored. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength === CHUNK_BYTES && this.#free.length < KEPT_BUFFERS) this.#free.push(buffer);
  }
}

export class OutputBatch implements Disposable {
  readonly #pool: ChunkPool;
  readonly #onOutput: (bytes: Uint8Array) => void;
  #chunk: Uint8Array | null = null;
  #filled = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param onOutput takes output for good; it may give it to the pool later. */
  constructor(pool: ChunkPool, onOutput: (bytes: Uint8Array) => void) {
    this.#pool = pool;
    this.#onOutput = onOutput;
  }

  /** Whether anything waits for `flush`. */
  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  /** Takes what was read; it is copied. The first of a turn passes at once: it may be an echo. */
  add(bytes: Uint8Array): void {
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.flush();
      }, 0);
      this.#onOutput(bytes.slice());
      return;
    }
    for (let at = 0; at < bytes.length;) {
      this.#chunk ??= this.#pool.take();
      const part = bytes.subarray(at, at + CHUNK_BYTES - this.#filled);
      this.#chunk.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === CHUNK_BYTES) this.flush();
    }
  }

  /** Passes on what was merged. */
  flush(): void {
    const chunk = this.#chunk;
    const filled = this.#filled;
    if (chunk === null || filled === 0) return;
    this.#filled = 0;
    // A little that waits long must not keep a whole chunk.
    if (filled < CHUNK_BYTES / 2) return this.#onOutput(chunk.slice(0, filled));
    this.#chunk = null;
    this.#onOutput(chunk.subarray(0, filled));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#chunk = null;
    this.#filled = 0;
  }
}
