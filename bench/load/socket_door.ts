/** Echoes over a tunnelled WebSocket, measured with a raw socket, since a WebSocket client cannot name another Host. */
import type { TunnelClient } from "../../tests/tunnel/support.ts";

/** Milliseconds of each of `count` echoes of 32 bytes, one after another. */
export async function openEcho(port: number, client: TunnelClient, count: number): Promise<number[]> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  const head = [
    "GET /ws HTTP/1.1",
    `Host: ${client.host}`,
    `Cookie: ${client.cookie}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  ].join("\r\n");
  const buffer = new Uint8Array(4_096);
  await conn.write(new TextEncoder().encode(`${head}\r\n\r\n`));
  let answer = "";
  while (!answer.includes("\r\n\r\n")) {
    const read = await conn.read(buffer);
    if (read === null) throw new Error("the socket was refused");
    answer += new TextDecoder().decode(buffer.subarray(0, read));
  }
  if (!answer.startsWith("HTTP/1.1 101")) throw new Error(`no WebSocket: ${answer.slice(0, 100)}`);
  // A masked binary frame (mask 0) of 32 bytes; its echo is 2 bytes of head and the payload.
  const frame = new Uint8Array(6 + 32);
  frame[0] = 0x82;
  frame[1] = 0x80 | 32;
  const ms: number[] = [];
  for (let i = 0; i < count; i++) {
    const startMs = performance.now();
    await conn.write(frame);
    for (let got = 0; got < 34;) got += await conn.read(buffer) ?? 34;
    ms.push(performance.now() - startMs);
  }
  return ms;
}
