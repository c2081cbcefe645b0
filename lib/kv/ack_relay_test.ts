import assert from "node:assert/strict";
import { AckRelay, wholeFrames } from "./ack_relay.ts";

const frame = (type: number, payload: number[]) => [0, 0, payload.length, type, 0, 0, 0, 0, 1, ...payload];
const PREFACE = [...new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")];
const ACK = [0, 0, 0, 0xbb, 0, 0, 0, 0, 0];

async function readExactly(connection: Deno.Conn, count: number): Promise<number[]> {
  const bytes: number[] = [];
  while (bytes.length < count) {
    const buffer = new Uint8Array(count - bytes.length);
    const read = await connection.read(buffer);
    assert.ok(read !== null, `the connection ended after ${bytes.length} of ${count} bytes`);
    bytes.push(...buffer.subarray(0, read));
  }
  return bytes;
}

Deno.test("the relay hands on both ways, and answers what it got between two frames", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using relay = new AckRelay(`http://127.0.0.1:${listener.addr.port}/path`);
  const client = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
  const server = await listener.accept();
  const begin = [...PREFACE, ...frame(4, [])];
  await client.write(new Uint8Array(begin));
  assert.deepEqual(await readExactly(server, begin.length), begin);
  // The server's first frame must be its own: what came before it is not answered.
  await server.write(new Uint8Array(frame(4, [1])));
  assert.deepEqual(await readExactly(client, 10), frame(4, [1]));
  assert.deepEqual(await readExactly(server, 9), ACK);
  // Half a frame: acknowledged at once, handed on when it is whole.
  const data = frame(0, [7, 8, 9]);
  await client.write(new Uint8Array(data.slice(0, 10)));
  assert.deepEqual(await readExactly(client, 9), ACK);
  await client.write(new Uint8Array(data.slice(10)));
  assert.deepEqual(await readExactly(server, data.length), data);
  assert.deepEqual(await readExactly(client, 9), ACK);
  server.close();
  assert.equal(await client.read(new Uint8Array(1)), null, "the end of one is the end of the other");
  client.close();
});

Deno.test("a server that is not there closes the client's connection", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  using relay = new AckRelay(`http://127.0.0.1:${port}`);
  using client = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
  assert.equal(await client.read(new Uint8Array(1)), null);
});

Deno.test("whole frames are found however many there are", () => {
  const bytes = new Uint8Array([...frame(0, [1]), ...frame(1, []), ...frame(0, [1, 2])]);
  for (let length = 0; length <= bytes.length; length++) {
    const expected = length >= 30 ? 30 : length >= 19 ? 19 : length >= 10 ? 10 : 0;
    assert.equal(wholeFrames(bytes, 0, length), expected);
  }
  assert.throws(() => wholeFrames(new Uint8Array([255, 255, 255, 0, 0, 0, 0, 0, 0]), 0, 9), /16777215 bytes/);
});
