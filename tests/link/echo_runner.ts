/**
 * A runner of a test: registers, and takes the streams of its data link. Usage: echo_runner.ts <hub-url> <api-key> <runner-id>.
 * What it does with a stream follows from the target of its header: "/echo" gives back what comes, "/source?bytes=n" sends that
 * many, "/sink" reads all and answers with how many there were, "/stall" does not read, "/silent" neither reads nor writes.
 */
import type { LinkStream } from "@/protocol/link/types.ts";
import { DataLink } from "@/runner/link/link.ts";
import { RunnerLink } from "@/runner/runner_link.ts";

const [hubUrl, apiKey, runnerId] = Deno.args as [string, string, string];
const target = () => ({ hubUrl, apiKey });
const write = (level: string, message: string) => console.error(level, message);
const backoff = { firstMs: 20, maxMs: 200 };

const dataLink = new DataLink({ runnerId, target, write, backoff });
dataLink.accept("http", (stream, header) => {
  const url = new URL(header.target, "http://stream");
  serve(stream, url).catch((error) => console.error("stream", header.target, String(error)));
});
const runnerLink = new RunnerLink({
  runnerId,
  name: "echo",
  roots: ["/"],
  target,
  listAgents: () => Promise.resolve([]),
  liveIds: () => [],
  storedIds: () => [],
  onDeleted: () => {},
  onHistory: () => {
    throw new Error("there is no history");
  },
  isKnownAlive: () => false,
  endOf: () => null,
  onCommand: ({ op }) => Promise.resolve({ type: "command_result", op, status: "rejected", reason: "a test" }),
  onRegistered: () => dataLink.connect(),
  onRefused: (refusal) => console.error("refused", refusal),
  write,
  backoff,
});
runnerLink.connect();
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
    case "/sink": {
      let total = 0;
      for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) total += bytes.length;
      await stream.write(new TextEncoder().encode(String(total)));
      return stream.end();
    }
    default:
      stream.reset("refused", `no such stream: ${url.pathname}`);
  }
}
