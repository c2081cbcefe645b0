/** One tunnelled WebSocket on the runner: from the stream to a local server and back, each side as fast as the other reads. */
import { type LinkStream, type StreamHeader, StreamResetError } from "@/protocol/link/types.ts";
import {
  closeCodeOf,
  encodeHead,
  encodeSocketMessage,
  endToEnd,
  isHeaderName,
  isHeaderValue,
  isTarget,
  SocketMessageDecoder,
  tunnelLimits,
} from "@/protocol/tunnel.ts";
import { hostHeader } from "./http_stream.ts";
import { type LocalPool, type LocalTarget, UnreachableError } from "./local_pool.ts";

type SocketHeader = Extract<StreamHeader, { kind: "websocket" }>;

/** As the standard and the runtime have it; Deno's types call the first field `code`. */
interface ClosingInfo {
  closeCode?: number;
  reason?: string;
}

const encoder = new TextEncoder();

/** Carries the socket until both sides have closed it. The stream is ended or reset when this resolves; never rejects. */
export async function serveSocket(
  stream: LinkStream,
  header: SocketHeader,
  target: LocalTarget,
  pool: LocalPool,
): Promise<void> {
  const { headers, protocols } = header;
  const isValid = isTarget(header.target) &&
    headers.every(([name, value]) => isHeaderName(name) && isHeaderValue(value)) &&
    protocols.every((protocol) => protocol !== "" && isHeaderName(protocol.toLowerCase())) &&
    new Set(protocols).size === protocols.length;
  if (!isValid) return stream.reset("protocol_error", "the request has a part that HTTP does not allow");
  const aborted = new AbortController();
  let socket: WebSocketStream | null = null;
  let isOpen = false;
  let isSettled = false;
  void stream.closed.then((reset) => {
    if (reset === null) return;
    if (isOpen) closeSocket(socket, 1000, "");
    // After a failed opening it would end this process: the runtime's abort then throws where nobody can catch it.
    else if (!isSettled) aborted.abort();
  });
  try {
    const hostname = await pool.hostname(target);
    const authority = hostname === "127.0.0.1" ? hostHeader(target) : `${bracketed(hostname)}:${target.port}`;
    socket = new WebSocketStream(`ws://${authority}${header.target}`, {
      protocols: [...protocols],
      headers: endToEnd(headers).filter(([name]) => name !== "host" && !name.startsWith("sec-websocket-")),
      signal: aborted.signal,
    });
    // Rejects as `opened` does, when that fails.
    socket.closed.catch(() => {});
    const { readable, writable, protocol } = await socket.opened.finally(() => isSettled = true);
    isOpen = true;
    const chosen: [string, string][] = protocol === "" ? [] : [["sec-websocket-protocol", protocol]];
    await stream.write(encodeHead({ status: 101, headers: chosen }));
    const [down, up] = await Promise.allSettled([
      fromLocal(socket, readable, stream),
      toLocal(stream, writable, socket),
    ]);
    for (const side of [down, up]) if (side.status === "rejected") throw side.reason;
  } catch (error) {
    if (isOpen) closeSocket(socket, 1000, "");
    if (error instanceof StreamResetError) return;
    if (error instanceof UnreachableError) return stream.reset("unreachable", error.message);
    if (isOpen) return stream.reset("internal", error instanceof Error ? error.message : String(error));
    // It answered, but not with an upgrade.
    await refuse(stream);
  }
}

function bracketed(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

async function refuse(stream: LinkStream): Promise<void> {
  try {
    await stream.write(encodeHead({ status: 502, headers: [] }));
    stream.end();
  } catch {
    // The client went away meanwhile.
  }
}

/** The local server's messages into the stream, and its close as the last one. */
async function fromLocal(
  socket: WebSocketStream,
  readable: ReadableStream<string | Uint8Array>,
  stream: LinkStream,
): Promise<void> {
  const reader = readable.getReader();
  let isClean = true;
  try {
    for (let item = await reader.read(); !item.done; item = await reader.read()) {
      const { value } = item;
      const message = typeof value === "string"
        ? encodeSocketMessage({ kind: "text", text: value })
        : encodeSocketMessage({ kind: "binary", bytes: value });
      if (message.byteLength - 5 > tunnelLimits.messageBytes) {
        stream.reset("internal", `a message of the local server is over ${tunnelLimits.messageBytes} bytes`);
        return;
      }
      await stream.write(message);
    }
  } catch (error) {
    if (error instanceof StreamResetError) throw error;
    isClean = false;
  }
  const { code, reason } = isClean ? await closeOf(socket) : { code: 1006, reason: "the local server went away" };
  await stream.write(encodeSocketMessage({ kind: "close", code, reason }));
  stream.end();
}

async function closeOf(socket: WebSocketStream): Promise<{ code: number; reason: string }> {
  try {
    const { closeCode, reason }: ClosingInfo = await socket.closed;
    return { code: closeCode ?? 1005, reason: reason ?? "" };
  } catch {
    return { code: 1006, reason: "" };
  }
}

/** The client's messages to the local server. Ends with the client's close, or when the stream ends without one. */
async function toLocal(
  stream: LinkStream,
  writable: WritableStream<string | Uint8Array>,
  socket: WebSocketStream,
): Promise<void> {
  const writer = writable.getWriter();
  // What cannot be written is told by the other direction: the socket is closed.
  writer.closed.catch(() => {});
  const decoder = new SocketMessageDecoder();
  let isClosed = false;
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    for (const message of decoder.push(bytes)) {
      if (isClosed) continue;
      if (message.kind === "close") {
        isClosed = true;
        closeSocket(socket, closeCodeOf(message.code), message.reason);
        continue;
      }
      await writer.write(message.kind === "text" ? message.text : message.bytes).catch(() => {});
    }
  }
  if (!isClosed) closeSocket(socket, 1000, "");
}

function closeSocket(socket: WebSocketStream | null, closeCode: number, reason: string): void {
  try {
    // A reason may hold 123 bytes.
    const info: ClosingInfo = { closeCode, reason: encoder.encode(reason).byteLength > 123 ? "" : reason };
    socket?.close(info);
  } catch {
    // It was closed already.
  }
}
