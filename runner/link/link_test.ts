import assert from "node:assert/strict";
import { decodeMessage, encodeOpen, encodePong } from "@/protocol/link/codec.ts";
import type { LinkStream, StreamResetError } from "@/protocol/link/types.ts";
import { DataLink } from "./link.ts";

const PATIENCE_MS = 10_000;

Deno.test("a hub that says nothing on the link for the limit is left behind, and its streams are lost", async () => {
  const pings: number[] = [];
  const registered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const taken = Promise.withResolvers<LinkStream>();
  /** Pings that the first connection answers; it says nothing afterwards. */
  const answered = 10;
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (req) => {
    const connection = pings.push(0) - 1;
    const { socket, response } = Deno.upgradeWebSocket(req, { idleTimeout: 0 });
    socket.binaryType = "arraybuffer";
    const onPing = () => {
      pings[connection]!++;
      if (connection > 0 || pings[0]! <= answered) socket.send(encodePong());
    };
    const nothing = () => {};
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        socket.send(JSON.stringify({ type: "link_registered", runnerId: "runner-1" }));
        socket.send(encodeOpen(1, { kind: "terminal", terminalId: "t", viewerId: "v", canWrite: true }));
        registered[connection]?.resolve();
        return;
      }
      decodeMessage(new Uint8Array(data), {
        onOpen: nothing,
        onData: nothing,
        onCredit: nothing,
        onEnd: nothing,
        onReset: nothing,
        onPing,
        onPong: nothing,
      });
    };
    return response;
  });
  using link = new DataLink({
    runnerId: "runner-1",
    target: () => ({ hubUrl: `http://127.0.0.1:${server.addr.port}`, apiKey: "k" }),
    write: () => {},
    backoff: { firstMs: 1, maxMs: 4 },
    heartbeatMs: 50,
    silenceMs: 1_000,
  });
  link.accept("terminal", (stream) => taken.resolve(stream));
  const late = setTimeout(() => {
    const error = new Error("the link did not come back");
    taken.reject(error);
    for (const { reject } of registered) reject(error);
  }, PATIENCE_MS);
  try {
    link.connect();
    await registered[0].promise;
    const stream = await taken.promise;
    const closed: StreamResetError | null = await stream.closed;
    assert.deepEqual([closed?.code, closed?.message], ["link_lost", "the hub fell silent"]);
    // It was not while pings were answered.
    assert.ok(pings[0]! > answered, `${pings[0]} pings`);
    await registered[1].promise;
  } finally {
    clearTimeout(late);
  }
});
