/**
 * Strict JSON lines: records end at LF and nowhere else. (Node's readline also splits at U+2028 and U+2029, which JSON strings may
 * hold.) Pure but for its buffer.
 */

/** Longest line accepted, in bytes. Old pi repeats the whole message in every update, so lines grow with it. */
export const maxLineBytes = 32 * 1024 * 1024;

export class LineTooLongError extends Error {
  override name = "LineTooLongError";
}

export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(maxBytes: number = maxLineBytes) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes, without LF or CRLF, empty ones left out. Throws LineTooLongError. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      const line = this.#take();
      if (line !== "") lines.push(line);
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.slice(start));
    return lines;
  }

  #keep(part: Uint8Array): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#maxBytes) {
      throw new LineTooLongError(`a line of the agent's output is longer than ${this.#maxBytes} bytes`);
    }
    this.#parts.push(part);
  }

  #take(): string {
    const bytes = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#parts = [];
    this.#bytes = 0;
    const line = new TextDecoder().decode(bytes);
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}
