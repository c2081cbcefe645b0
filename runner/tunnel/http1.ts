/**
 * The reading side of an HTTP/1.1 client over a bare TCP connection (RFC 9112), made for passing bodies on: pieces of a body
 * are views of one buffer, so that a body of any size leaves no garbage. Strict: what could be read in two ways is an error, never a guess.
 */
import { Buffers } from "./buffers.ts";
import { isHeaderName, isHeaderValue, tunnelLimits } from "@/protocol/tunnel.ts";
import type { HeaderList } from "@/protocol/link/types.ts";

/** What a read of a head takes at most, and with it of a short body. */
const HEAD_READ_BYTES = 8 * 1024;
const CR = 13;
const LF = 10;
/** Longest line of a chunked body: a size, and extensions that nobody uses. */
const CHUNK_LINE_BYTES = 1_024;

/** The local server sent what is no HTTP/1.1 answer. */
export class Http1Error extends Error {
  override name = "Http1Error";
}

export interface Http1Head {
  status: number;
  /** Names in lower case, in order, repeats kept. */
  headers: HeaderList;
  /** Whether the connection may serve another request once the body has been read. */
  isReusable: boolean;
  body: BodyFraming;
}

export type BodyFraming = { kind: "none" } | { kind: "length"; bytes: number } | { kind: "chunked" } | {
  kind: "until_close";
};

/** Where bytes come from: fills the buffer from its start, null at the end. */
export interface ByteReader {
  read(buffer: Uint8Array): Promise<number | null>;
}

const latin1 = new TextDecoder("latin1");

/** Reads answers from one connection, one after another. */
export class AnswerReader {
  readonly #from: ByteReader;
  readonly #buffers: Buffers;
  readonly #buffer = new Uint8Array(HEAD_READ_BYTES);
  /** What is read into instead, while a body is read that does not come with its head. */
  #bodyBuffer: Uint8Array<ArrayBuffer> | null = null;
  /** Read and not used yet. */
  #have: Uint8Array = new Uint8Array(0);

  /** `buffers`: where buffers for bodies are taken from. */
  constructor(from: ByteReader, buffers: Buffers) {
    this.#from = from;
    this.#buffers = buffers;
  }

  /** Whether nothing waits that no request asked for. */
  get isDrained(): boolean {
    return this.#have.byteLength === 0;
  }

  /** The whole body, when all of it has come together with the head; null when it has not. */
  wholeBody(framing: BodyFraming): Uint8Array | null {
    const bytes = framing.kind === "none" ? 0 : framing.kind === "length" ? framing.bytes : Infinity;
    if (bytes > this.#have.byteLength) return null;
    const body = this.#have.subarray(0, bytes);
    this.#have = this.#have.subarray(bytes);
    return body;
  }

  /**
   * The next final head; interim ones (1xx) are skipped. Null: the connection ended before its first byte. Rejects with Http1Error.
   */
  async head(method: string): Promise<Http1Head | null> {
    for (;;) {
      const bytes = await this.#until(headEnd, tunnelLimits.headBytes, "the head of the answer");
      if (bytes === null) return null;
      const head = parseHead(latin1.decode(bytes), method);
      if (head.status === 101 || head.status >= 200) return head;
    }
  }

  /** The pieces of a body, each valid until the next is asked for. Rejects with Http1Error when it ends too early or is not framed as it must be. */
  async *body(framing: BodyFraming): AsyncGenerator<Uint8Array> {
    if (framing.kind === "none") return;
    this.#bodyBuffer = this.#buffers.take();
    try {
      if (framing.kind === "length") yield* this.#exactly(framing.bytes);
      else if (framing.kind === "chunked") yield* this.#chunks();
      else for (let piece = await this.#some(); piece !== null; piece = await this.#some()) yield piece;
    } finally {
      if (!this.isDrained) this.#have = this.#have.slice();
      this.#buffers.giveBack(this.#bodyBuffer);
      this.#bodyBuffer = null;
    }
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const line = await this.#line("the size of a chunk", CHUNK_LINE_BYTES);
      const size = /^([0-9A-Fa-f]{1,12})[\t ]*(?:;.*)?$/.exec(line)?.[1];
      if (size === undefined) throw new Http1Error("the size of a chunk is not a hexadecimal number");
      const bytes = Number.parseInt(size, 16);
      if (bytes === 0) break;
      yield* this.#exactly(bytes);
      if (await this.#line("the end of a chunk", 2) !== "") throw new Http1Error("a chunk is longer than its size");
    }
    // Trailers are read and left out: a tunnel does not carry them.
    for (let line = "x"; line !== "";) line = await this.#line("the trailers", tunnelLimits.headBytes);
  }

  async *#exactly(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      const piece = await this.#some(left);
      if (piece === null) throw new Http1Error(`the local server ended the connection ${left} bytes before the end`);
      left -= piece.byteLength;
      yield piece;
    }
  }

  /** At most `most` bytes: what is there, else what comes next. Null at the end. */
  async #some(most = Infinity): Promise<Uint8Array | null> {
    if (this.#have.byteLength === 0 && !await this.#more()) return null;
    const piece = this.#have.byteLength <= most ? this.#have : this.#have.subarray(0, most);
    this.#have = this.#have.subarray(piece.byteLength);
    return piece;
  }

  /** Reads once more; false at the end. What was handed out before is written over. */
  async #more(): Promise<boolean> {
    const before = this.#have.byteLength === 0 ? null : this.#have.slice();
    const buffer = this.#bodyBuffer ?? this.#buffer;
    const count = await this.#from.read(buffer);
    if (count === null) return false;
    const read = buffer.subarray(0, count);
    if (before === null) this.#have = read;
    else {
      this.#have = new Uint8Array(before.byteLength + count);
      this.#have.set(before);
      this.#have.set(read, before.byteLength);
    }
    return true;
  }

  async #line(what: string, most: number): Promise<string> {
    const bytes = await this.#until(lineEnd, most, what);
    if (bytes === null) throw new Http1Error(`the local server ended the connection before ${what}`);
    return latin1.decode(bytes).replace(/\r?\n$/, "");
  }

  /** Bytes up to the end that `find` sees. Null: the connection ended before any. */
  async #until(find: (bytes: Uint8Array) => number, most: number, what: string): Promise<Uint8Array | null> {
    for (;;) {
      const end = find(this.#have);
      if (end > most || (end === -1 && this.#have.byteLength > most)) {
        throw new Http1Error(`${what} is over ${most} bytes`);
      }
      if (end !== -1) {
        const taken = this.#have.subarray(0, end);
        this.#have = this.#have.subarray(end);
        return taken;
      }
      if (await this.#more()) continue;
      if (this.#have.byteLength === 0) return null;
      throw new Http1Error(`the local server ended the connection in the middle of ${what}`);
    }
  }
}

function lineEnd(bytes: Uint8Array): number {
  const at = bytes.indexOf(LF);
  return at === -1 ? -1 : at + 1;
}

/** The place after the empty line. */
function headEnd(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2;
    if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return -1;
}

/** Reads an answer's head. `method`: of the request, which decides whether there is a body. Throws Http1Error. */
export function parseHead(text: string, method: string): Http1Head {
  const [first = "", ...lines] = text.replace(/\r?\n\r?\n$/, "").split(/\r?\n/);
  const start = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/.exec(first);
  if (start === null) throw new Http1Error("what listens there does not speak HTTP/1.1");
  const status = Number(start[2]);
  if (lines.length > 256) throw new Http1Error("the answer has more than 256 headers");
  const headers: HeaderList = lines.map((line) => {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, "");
    if (colon < 1 || !isHeaderName(name)) throw new Http1Error("a header of the answer has no valid name");
    if (!isHeaderValue(value)) throw new Http1Error(`the header "${name}" of the answer has no valid value`);
    return [name, value];
  });
  const tokens = valuesOf(headers, "connection").flatMap((value) => value.toLowerCase().split(/[\t ]*,[\t ]*/));
  const body = framingOf(headers, status, method);
  const isReusable = body.kind !== "until_close" && status !== 101 &&
    (start[1] === "1" ? !tokens.includes("close") : tokens.includes("keep-alive"));
  return { status, headers, isReusable, body };
}

function framingOf(headers: HeaderList, status: number, method: string): BodyFraming {
  const codings = valuesOf(headers, "transfer-encoding").flatMap((value) => value.toLowerCase().split(/[\t ]*,[\t ]*/));
  const lengths = new Set(valuesOf(headers, "content-length").flatMap((value) => value.split(/[\t ]*,[\t ]*/)));
  if (lengths.size > 1 || (lengths.size === 1 && codings.length > 0)) {
    throw new Http1Error("the answer says in two ways how long it is");
  }
  const [length] = lengths;
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new Http1Error("the answer's length is not a number");
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return { kind: "none" };
  if (codings.length > 0) {
    if (codings.length > 1 || codings[0] !== "chunked") {
      throw new Http1Error(`the answer's transfer coding "${codings.join(", ").slice(0, 64)}" is not supported`);
    }
    return { kind: "chunked" };
  }
  return length === undefined ? { kind: "until_close" } : { kind: "length", bytes: Number(length) };
}

function valuesOf(headers: HeaderList, wanted: string): string[] {
  return headers.filter(([name]) => name === wanted).map(([, value]) => value);
}
