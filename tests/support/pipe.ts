/** What the proxies of the tests share: moving bytes between two connections, and closing without complaint. */

/**
 * Sends small packets at once: with Nagle's algorithm each of them would wait for the acknowledgement of the one before, which
 * the other side delays by 40 ms.
 */
export function sendAtOnce(...connections: Deno.TcpConn[]): void {
  for (const connection of connections) connection.setNoDelay(true);
}

/** Writes all of it. */
export async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/** Hands over what the source sends until it ends; the chunk is only valid until the handler is done. */
export async function readAll(from: Deno.Conn, take: (chunk: Uint8Array) => Promise<void> | void): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
    await take(buffer.subarray(0, read));
  }
}

export function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed by the other direction.
  }
}
