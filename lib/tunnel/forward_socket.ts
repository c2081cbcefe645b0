/** One WebSocket through a tunnel, as the hub carries it. */
import { type LinkStream, StreamResetError } from "@/protocol/link/types.ts";
import { closeCodeOf, encodeSocketMessage, isTarget, SocketMessageDecoder, tunnelLimits } from "@/protocol/tunnel.ts";
import { failure, type Forwarding, readHead } from "./forward_http.ts";
import { requestHeaders, RequestRefusal } from "./headers.ts";
import { plainPage } from "./pages.ts";
import type { Passing } from "./live_tunnel.ts";

/** What may wait in the client's socket before the stream is read again. */
const BUFFERED_BYTES = 1024 * 1024;
/** A socket's buffer has no event when it drains. */
const DRAIN_LOOK_MS = 4;
/** The runtime pings a silent client, so that one that is gone is noticed. */
const IDLE_S = 30;
/** The runtime tells nothing of a client that leaves while it is being upgraded: one that is not there by then has left. */
const OPEN_MS = 10_000;
/** How long the local server may take to answer that the client closed. */
const CLOSE_MS = 10_000;

/** Connects to the local server, and only when that has agreed upgrades the client. Never rejects. */
export async function forwardSocket({ req, row, target, passage, passing, links }: Forwarding): Promise<Response> {
  let stream: LinkStream;
  try {
    if (!isTarget(target)) throw new RequestRefusal("the path of the request is not valid");
    const protocols = (req.headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim())
      .filter((name) => name !== "");
    if (new Set(protocols).size !== protocols.length || protocols.length > 32) {
      throw new RequestRefusal("Sec-WebSocket-Protocol names a protocol twice, or too many");
    }
    const headers = requestHeaders(req, passage).filter(([name]) => !name.startsWith("sec-websocket-"));
    stream = await links.open(row.runnerId, {
      kind: "websocket",
      tunnelId: row.tunnelId,
      port: row.port,
      target,
      headers,
      protocols,
    });
  } catch (error) {
    const refused = error instanceof RequestRefusal
      ? plainPage(400, "This request cannot be passed on", error.message)
      : failure(error, row);
    passing.done(refused.status);
    return refused;
  }
  const cut = () => stream.reset("cancelled", "the tunnel was closed");
  passing.cut.whenMade(cut);
  const leave = () => stream.reset("cancelled", "the client left");
  if (req.signal.aborted) leave();
  req.signal.addEventListener("abort", leave, { once: true });
  try {
    const { head, rest } = await readHead(stream);
    if (head.status !== 101) {
      stream.reset("cancelled");
      passing.done(502);
      return plainPage(502, "No WebSocket", "the local server does not take a WebSocket here");
    }
    const protocol = head.headers.find(([name]) => name === "sec-websocket-protocol")?.[1];
    const { socket, response } = Deno.upgradeWebSocket(req, {
      idleTimeout: IDLE_S,
      ...(protocol === undefined ? {} : { protocol }),
    });
    socket.binaryType = "arraybuffer";
    void join(socket, stream, rest, passing);
    return response;
  } catch (error) {
    stream.reset("cancelled");
    const refused = error instanceof StreamResetError
      ? failure(error, row)
      : plainPage(400, "No WebSocket", "the request cannot be upgraded");
    passing.done(refused.status);
    return refused;
  }
}

async function join(socket: WebSocket, stream: LinkStream, rest: Uint8Array, passing: Passing): Promise<void> {
  const open = new Promise<void>((resolve) => socket.onopen = () => resolve());
  const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
  takeFromClient(socket, stream, passing, leave);
  const openTimer = setTimeout(() => {
    stream.reset("cancelled", "the client left");
    leave();
  }, OPEN_MS);
  await Promise.race([open, gone]);
  clearTimeout(openTimer);
  void gone.then(() => resetLater(stream));
  try {
    await toClient(socket, stream, rest, passing);
  } catch (error) {
    const reason = error instanceof StreamResetError ? error.message : "the runner sent what is no message";
    stream.reset("protocol_error");
    closeSocket(socket, 4011, reason);
  }
  await gone;
  passing.done(101);
}

/** Gives a stream up whose other end does not end it in time. */
function resetLater(stream: LinkStream): void {
  const reset = () => stream.reset("cancelled", "the local server did not answer the client's close");
  const timer = setTimeout(reset, CLOSE_MS);
  void stream.closed.then(() => clearTimeout(timer));
}

/** Sends what the client says to the runner, its close last; then calls `onGone`. */
function takeFromClient(socket: WebSocket, stream: LinkStream, passing: Passing, onGone: () => void): void {
  /** Bytes on their way to the runner. */
  let backlog = 0;
  let sending: Promise<void> = Promise.resolve();
  const send = (bytes: Uint8Array) => {
    backlog += bytes.byteLength;
    const paced = passing.pace(bytes.byteLength);
    sending = sending.then(async () => {
      if (paced !== null) await paced;
      await stream.write(bytes);
      backlog -= bytes.byteLength;
    });
    // Told by the other direction, which reads the reset.
    sending.catch(() => {});
    if (backlog <= tunnelLimits.socketBacklogBytes) return;
    stream.reset("cancelled", "the client sends faster than the local server reads");
    closeSocket(socket, 4008, `more than ${tunnelLimits.socketBacklogBytes} bytes wait for the local server`);
  };
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data === "string") send(encodeSocketMessage({ kind: "text", text: data }));
    else if (data.byteLength <= tunnelLimits.messageBytes) {
      send(encodeSocketMessage({ kind: "binary", bytes: new Uint8Array(data) }));
    } else closeSocket(socket, 4009, `a message is over ${tunnelLimits.messageBytes} bytes`);
  };
  // It is followed by the event "close".
  socket.onerror = (event) => event.preventDefault();
  socket.onclose = ({ code, reason }) => {
    send(encodeSocketMessage({ kind: "close", code, reason }));
    sending.then(() => stream.end(), () => {});
    onGone();
  };
}

async function toClient(socket: WebSocket, stream: LinkStream, rest: Uint8Array, passing: Passing): Promise<void> {
  const decoder = new SocketMessageDecoder();
  for (let bytes: Uint8Array | null = rest; bytes !== null; bytes = await stream.read()) {
    const paced = passing.pace(bytes.byteLength);
    if (paced !== null) await paced;
    for (const message of decoder.push(bytes)) {
      if (socket.readyState !== WebSocket.OPEN) continue;
      if (message.kind === "close") closeSocket(socket, closeCodeOf(message.code), message.reason);
      else socket.send(message.kind === "text" ? message.text : message.bytes as Uint8Array<ArrayBuffer>);
    }
    while (socket.bufferedAmount > BUFFERED_BYTES && socket.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
    }
  }
  closeSocket(socket, 1000, "");
}

function closeSocket(socket: WebSocket, code: number, reason: string): void {
  const short = new TextEncoder().encode(reason).byteLength > 123 ? reason.slice(0, 30) : reason;
  if (socket.readyState === WebSocket.OPEN || socket.readyState === WebSocket.CONNECTING) socket.close(code, short);
}
