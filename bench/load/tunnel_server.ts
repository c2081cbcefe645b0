/** What the tunnel's bench leads to: `/bytes?n=` sends, POST `/sink` takes, `/small` answers, `/ws` echoes, `/source?n=` sends over a WebSocket. */
const PIECE = new Uint8Array(64 * 1024);
/** What may wait in a socket before the next piece is sent. */
const BUFFERED_BYTES = 2 * 1024 * 1024;

function bytes(total: number): Response {
  let left = total;
  const body = new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      controller.enqueue(left >= PIECE.byteLength ? PIECE : PIECE.subarray(0, left));
      left -= PIECE.byteLength;
    },
  });
  return new Response(body, { headers: { "content-length": String(total) } });
}

async function sink(req: Request): Promise<Response> {
  let total = 0;
  for await (const piece of req.body ?? []) total += piece.byteLength;
  return new Response(String(total));
}

async function pour(socket: WebSocket, total: number): Promise<void> {
  for (let sent = 0; sent < total; sent += PIECE.byteLength) {
    socket.send(PIECE);
    while (socket.bufferedAmount > BUFFERED_BYTES) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Copies what a source sends to whoever connects: the middle of the baseline. */
function copy(socket: WebSocket, url: string): void {
  const source = new WebSocket(url);
  source.binaryType = "arraybuffer";
  source.onmessage = ({ data }) => socket.send(data);
  socket.onclose = () => source.close();
}

Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(`listening on ${port}`) }, (req) => {
  const url = new URL(req.url);
  const total = Number(url.searchParams.get("n"));
  if (url.pathname === "/bytes") return bytes(total);
  if (url.pathname === "/sink") return sink(req);
  if (url.pathname === "/small") return new Response("a small answer");
  const { socket, response } = Deno.upgradeWebSocket(req, { idleTimeout: 0 });
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    if (url.pathname === "/source") void pour(socket, total);
    else if (url.pathname === "/copy") copy(socket, url.searchParams.get("from")!);
  };
  if (url.pathname === "/ws") socket.onmessage = ({ data }) => socket.send(data);
  return response;
});
