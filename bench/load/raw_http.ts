/** A plain HTTP/1.1 client for benches: one kept connection, no copies, nothing clever. */
const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class RawHttp {
  readonly #conn: Deno.TcpConn;
  readonly #host: string;
  readonly #cookie: string;
  readonly #buffer = new Uint8Array(256 * 1024);

  private constructor(conn: Deno.TcpConn, host: string, cookie: string) {
    this.#conn = conn;
    this.#host = host;
    this.#cookie = cookie === "" ? "" : `Cookie: ${cookie}\r\n`;
  }

  static async open(port: number, host: string, cookie = ""): Promise<RawHttp> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    conn.setNoDelay(true);
    return new RawHttp(conn, host, cookie);
  }

  #head(method: string, path: string, more = ""): Uint8Array {
    return encoder.encode(`${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${this.#cookie}${more}\r\n`);
  }

  /** GETs and counts the body's bytes. */
  async get(path: string): Promise<number> {
    await this.#write(this.#head("GET", path));
    return await this.#answer();
  }

  /** Begins a GET and reads no more of it than its head's first bytes. */
  async stall(path: string): Promise<void> {
    await this.#write(this.#head("GET", path));
    await this.#conn.read(this.#buffer.subarray(0, 16));
  }

  async post(path: string, piece: Uint8Array, count: number): Promise<number> {
    await this.#write(this.#head("POST", path, `Content-Length: ${piece.byteLength * count}\r\n`));
    for (let i = 0; i < count; i++) await this.#write(piece);
    return await this.#answer();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) at += await this.#conn.write(bytes.subarray(at));
  }

  async #answer(): Promise<number> {
    let head = "";
    let end = -1;
    let got = 0;
    while (end === -1) {
      const count = await this.#conn.read(this.#buffer);
      if (count === null) throw new Error("the connection ended before the head");
      const text = decoder.decode(this.#buffer.subarray(0, Math.min(count, 8_192)), { stream: false });
      const before = head.length;
      head += text;
      end = head.indexOf("\r\n\r\n");
      if (end !== -1) got = count - (end + 4 - before);
    }
    if (!head.startsWith("HTTP/1.1 200")) throw new Error(`not the expected answer: ${head.slice(0, 200)}`);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    while (got < length) {
      const count = await this.#conn.read(this.#buffer);
      if (count === null) throw new Error(`the connection ended ${length - got} bytes before the end`);
      got += count;
    }
    return got;
  }

  close(): void {
    this.#conn.close();
  }
}
