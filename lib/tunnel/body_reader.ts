/** Reads the body of a request piece by piece. */

/** Least and most that is read at once. */
const MIN_BYTES = 1024;
const MAX_BYTES = 256 * 1024;

export interface BodyReader {
  /** The next piece, valid until the next is asked for; null at the end. Rejects when the client breaks off. */
  read(): Promise<Uint8Array | null>;
  /** Gives up what is left. */
  cancel(): Promise<void>;
}

/**
 * Where the runtime lets it, all pieces are read into one buffer; otherwise each has its own. A body that had come whole with its head
 * is no byte stream. `length`: Content-Length; null: not known.
 */
export function readerOf(body: ReadableStream<Uint8Array<ArrayBuffer>>, length: string | null): BodyReader {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    return ownPieces(body.getReader());
  }
  const most = length === null ? MAX_BYTES : Number(length);
  let buffer = new ArrayBuffer(Math.max(MIN_BYTES, Math.min(most, MAX_BYTES)));
  return {
    async read() {
      const { value, done } = await reader.read(new Uint8Array(buffer));
      if (done) return null;
      buffer = value.buffer;
      return value;
    },
    cancel: () => reader.cancel(),
  };
}

/** Each piece's memory is given back when the next is asked for: V8 would notice late. */
function ownPieces(reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>): BodyReader {
  let last: ArrayBuffer | null = null;
  return {
    async read() {
      last?.transfer(0);
      last = null;
      const { value, done } = await reader.read();
      if (done) return null;
      last = value.buffer;
      return value;
    },
    cancel: () => reader.cancel(),
  };
}
