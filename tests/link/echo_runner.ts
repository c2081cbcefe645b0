/**
 * A runner of a test: registers, and takes the streams of its data link. Usage: echo_runner.ts <hub-url> <api-key> <runner-id>.
 * What it does with a stream follows from the target of its header: "/echo" gives back what comes, "/source?bytes=n" sends that
 * many, "/silent" neither reads nor writes.
 */
import type { LinkStream } from "@/protocol/link/types.ts";
import { DataLink } from "@/runner/link/link.ts";
import { HubSocket } from "@/runner/hub_socket.ts";
import { PERCH_VERSION, PROTOCOL_VERSION, type RegisterRunner } from "@/protocol/mod.ts";

const [hubUrl, apiKey, runnerId] = Deno.args as [string, string, string];
const target = () => ({ hubUrl, apiKey });
const write = (level: string, message: string) => console.error(level, message);
const backoff = { firstMs: 20, maxMs: 200 };

const register: RegisterRunner = {
  type: "register_runner",
  protocolVersion: PROTOCOL_VERSION,
  runnerId,
  name: "echo",
  roots: ["/"],
  agents: [],
  version: PERCH_VERSION,
  platform: "test",
  sessionIds: [],
  warnings: [],
};

const dataLink = new DataLink({ runnerId, target, write, backoff });
dataLink.accept("http", (stream, header) => {
  const url = new URL(header.target, "http://stream");
  serve(stream, url).catch((error) => console.error("stream", header.target, String(error)));
});
const socket: HubSocket = new HubSocket({
  path: "/ws/runner",
  target,
  backoff,
  handlers: {
    onOpen: () => socket.send(JSON.stringify(register)),
    onFrame: (data) => {
      if (!String(data).includes('"runner_registered"')) return;
      socket.confirm();
      dataLink.connect();
    },
    onClose: () => {},
    onRefused: (refusal) => console.error("refused", refusal),
  },
});
socket.restart();
console.log("started");

async function serve(stream: LinkStream, url: URL): Promise<void> {
  switch (url.pathname) {
    case "/echo":
      for (;;) {
        const bytes = await stream.read();
        if (bytes === null) return stream.end();
        await stream.write(bytes);
      }
    case "/source": {
      let left = Number(url.searchParams.get("bytes"));
      const block = new Uint8Array(64 * 1024);
      for (; left > 0; left -= block.length) await stream.write(block.subarray(0, Math.min(left, block.length)));
      return stream.end();
    }
    case "/silent":
      return;
    default:
      stream.reset("refused", `no such stream: ${url.pathname}`);
  }
}
