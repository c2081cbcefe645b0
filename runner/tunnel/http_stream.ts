/** One tunnelled HTTP request on the runner: from the stream to a local server and back. */
import { type LinkStream, type StreamHeader, StreamResetError } from "@/protocol/link/types.ts";
import { encodeHead, endToEnd, isHeaderName, isHeaderValue, isMethod, isTarget, letGo } from "@/protocol/tunnel.ts";
import { Http1Error, type Http1Head } from "./http1.ts";
import { type LocalConnection, type LocalPool, type LocalTarget, UnreachableError } from "./local_pool.ts";

type HttpHeader = Extract<StreamHeader, { kind: "http" }>;

/** Requests that may be sent again on a new connection when a kept one turns out to be dead (RFC 9110 §9.2.2). */
const repeatable: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

const encoder = new TextEncoder();

/** How a request's body is framed towards the local server. */
type Upload = { kind: "none" } | { kind: "length"; bytes: number } | { kind: "chunked" };

/**
 * Carries the request out. The stream is ended or reset when this resolves; never rejects. When the client goes away the local
 * connection is cut; when the local server fails in the middle of its body, the stream is reset and not ended.
 */
export async function serveHttp(
  stream: LinkStream,
  header: HttpHeader,
  target: LocalTarget,
  pool: LocalPool,
): Promise<void> {
  const request = requestHead(header, target);
  if (request === null) return stream.reset("protocol_error", "the request has a part that HTTP does not allow");
  let connection: LocalConnection | null = null;
  let isOver = false;
  let isReset = false;
  void stream.closed.then((reset) => {
    isReset = reset !== null;
    if (isReset) connection?.close();
  });
  try {
    let kept: Http1Head | null = null;
    if (repeatable.has(header.method) && request.upload.kind === "none") {
      connection = pool.takeIdle(target);
      if (connection !== null) {
        kept = await askAgain(connection, request.head, header.method);
        if (kept === null) {
          connection.close();
          connection = null;
        }
      }
    }
    if (connection === null) {
      connection = await pool.connect(target);
      if (isReset) return connection.close();
      await connection.write(request.head);
    }
    const local = connection;
    const uploading = sendBody(stream, local, request.upload, () => isOver);
    // Failing to send is no reason to give up: the server may have answered without reading all of it.
    const upload = { isSent: request.upload.kind === "none" };
    const sending = uploading.then(() => upload.isSent = true, () => upload.isSent = false);
    const answer = kept ?? await local.reader.head(header.method);
    if (answer === null) throw new Http1Error("the local server ended the connection without an answer");
    const head = { status: answer.status, headers: endToEnd(answer.headers) };
    const whole = local.reader.wholeBody(answer.body);
    if (whole === null) {
      await stream.write(encodeHead(head));
      for await (const piece of local.reader.body(answer.body)) await stream.write(piece);
    } else {
      // One frame in place of two: most answers are small.
      await stream.write(encodeHead(head, whole));
    }
    isOver = true;
    stream.end();
    if (!upload.isSent) local.close();
    // What is left of the request's body is taken and goes nowhere until the hub ends it.
    await sending;
    if (upload.isSent && answer.isReusable) pool.giveBack(target, local);
    else local.close();
  } catch (error) {
    isOver = true;
    connection?.close();
    if (error instanceof StreamResetError) return;
    if (error instanceof UnreachableError) stream.reset("unreachable", error.message);
    else stream.reset("internal", error instanceof Error ? error.message : String(error));
  }
}

/** The answer's head over a connection that was kept; null when the server had closed it meanwhile. */
async function askAgain(connection: LocalConnection, head: Uint8Array, method: string): Promise<Http1Head | null> {
  try {
    await connection.write(head);
    return await connection.reader.head(method);
  } catch (error) {
    if (error instanceof Http1Error) throw error;
    return null;
  }
}

async function sendBody(
  stream: LinkStream,
  connection: LocalConnection,
  upload: Upload,
  isOver: () => boolean,
): Promise<void> {
  let left = upload.kind === "length" ? upload.bytes : upload.kind === "none" ? 0 : Infinity;
  let failure: unknown = null;
  let isLeftOut = false;
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    if (bytes.byteLength > left) {
      stream.reset("protocol_error", "the request's body is longer than its Content-Length");
      throw new Http1Error("too long");
    }
    left -= bytes.byteLength;
    isLeftOut ||= isOver() && bytes.byteLength > 0;
    if (isLeftOut || failure !== null || bytes.byteLength === 0) continue;
    try {
      if (upload.kind === "chunked") await connection.write(encoder.encode(`${bytes.byteLength.toString(16)}\r\n`));
      await connection.write(bytes);
      letGo(bytes);
      if (upload.kind === "chunked") await connection.write(encoder.encode("\r\n"));
    } catch (error) {
      failure = error;
    }
  }
  if (isLeftOut) throw new Http1Error("the answer came first");
  if (failure !== null) throw failure;
  if (left > 0 && upload.kind === "length") {
    connection.close();
    throw new Http1Error("the request's body is shorter than its Content-Length");
  }
  if (upload.kind === "chunked") await connection.write(encoder.encode("0\r\n\r\n"));
}

/** The bytes of the request's head; null when a part of it could be taken for something else. */
function requestHead(header: HttpHeader, target: LocalTarget): { head: Uint8Array; upload: Upload } | null {
  const { method, headers } = header;
  if (!isMethod(method) || !isTarget(header.target)) return null;
  if (!headers.every(([name, value]) => isHeaderName(name) && isHeaderValue(value))) return null;
  const lengths = headers.filter(([name]) => name === "content-length").map(([, value]) => value);
  const isChunked = headers.some(([name]) => name === "transfer-encoding");
  if (lengths.length > 1 || (lengths.length === 1 && (isChunked || !/^\d{1,15}$/.test(lengths[0]!)))) return null;
  const upload: Upload = isChunked
    ? { kind: "chunked" }
    : lengths.length === 1
    ? { kind: "length", bytes: Number(lengths[0]) }
    : { kind: "none" };
  const kept = endToEnd(headers).filter(([name]) => name !== "host" && name !== "expect" && name !== "content-length");
  const lines = [
    `${method} ${header.target} HTTP/1.1`,
    `host: ${hostHeader(target)}`,
    ...kept.map(([name, value]) => `${name}: ${value}`),
    ...(upload.kind === "length" ? [`content-length: ${upload.bytes}`] : []),
    ...(upload.kind === "chunked" ? ["transfer-encoding: chunked"] : []),
  ];
  return { head: bytesOf(lines.join("\r\n") + "\r\n\r\n"), upload };
}

/** What the local server is asked for: "localhost" for this machine, whatever address answers. */
export function hostHeader({ hostnames, port }: LocalTarget): string {
  const [first = ""] = hostnames;
  const name = first === "127.0.0.1" ? "localhost" : first.includes(":") ? `[${first}]` : first;
  return `${name}:${port}`;
}

/** Each character is one byte: header values are bytes (isHeaderValue). */
function bytesOf(text: string): Uint8Array {
  if (/^[\0-\x7f]*$/.test(text)) return encoder.encode(text);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}
