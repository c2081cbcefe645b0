/**
 * The hub of a test, in a process of its own: its gateways, and one route that opens streams to runners. Usage: test_hub.ts
 * <kv-path> <port>… [--direct | --unreachable]; each port is an isolate of its own, which the others reach there, or cannot reach at
 * the URL that it tells them. `Bearer key-<user>` authenticates. `POST /stream?runnerId=&target=` sends
 * the body and answers with what comes back; `x-reset: <code>` and status 502 when the stream is refused.
 */
import { createLog } from "@/lib/log.ts";
import { openHub } from "@/lib/hub.ts";
import { testAuth } from "@/lib/gateway/testing.ts";
import type { Namespace } from "@/lib/gateway/connection.ts";
import { openMesh } from "@/lib/mesh/mesh.ts";
import { openSessionStore } from "@/lib/session/store.ts";
import { type LinkStream, StreamResetError } from "@/protocol/link/types.ts";

const way = Deno.args.find((arg) => arg.startsWith("--"));
const [kvPath, ...ports] = Deno.args.filter((arg) => arg !== way) as [string, ...string[]];
let peerSockets = 0;
const kv = await Deno.openKv(kvPath);
const boot = crypto.randomUUID();
const urls: string[] = [];

for (const port of ports) {
  const isolateId = crypto.randomUUID();
  const log = createLog("info", { isolate: isolateId });
  // As main.ts does with an embedded database: what an earlier process left behind is dead.
  const slot = { name: "embedded", boot };
  const mesh = await openMesh({ kv, isolateId, slot });
  const store = openSessionStore({ kv, mesh });
  const server: Deno.HttpServer = Deno.serve(
    { port: Number(port), hostname: "127.0.0.1", onListen: () => {} },
    async (req): Promise<Response> => {
      const url = new URL(req.url);
      if (url.pathname === "/ws/peer") {
        const response = await hub.links.upgradePeer(req);
        if (response.status === 101) peerSockets++;
        return response;
      }
      if (url.pathname === "/peers") return Response.json(peerSockets);
      if (url.pathname.startsWith("/ws/")) {
        return hub.gateways.upgrade(url.pathname.slice(4) as Namespace, req, await testAuth.authenticate(req));
      }
      if (url.pathname === "/memory") return Response.json(Deno.memoryUsage().rss);
      try {
        const stream = await hub.links.open(url.searchParams.get("runnerId") ?? "", {
          kind: "http",
          tunnelId: "test",
          port: 1,
          method: "POST",
          target: url.searchParams.get("target") ?? "/",
          headers: [],
        });
        void send(stream, req.body);
        // What comes first decides about the status.
        const first = await stream.read();
        return new Response(bodyOf(stream, first));
      } catch (error) {
        const code = error instanceof StreamResetError ? error.code : "internal";
        return new Response(String(error), { status: 502, headers: { "x-reset": code } });
      }
    },
  );
  const isolateUrl = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
  const config = way === undefined ? {} : { isolateUrl: way === "--direct" ? isolateUrl : "http://127.0.0.1:1" };
  const hub = openHub({ kv, mesh, store, auth: testAuth, config, version: "0.0.0", isolateId, log });
  urls.push(isolateUrl);
}
console.log(`ready ${urls.join(" ")}`);

async function send(stream: LinkStream, body: ReadableStream<Uint8Array> | null): Promise<void> {
  try {
    for await (const bytes of body ?? []) await stream.write(bytes);
    stream.end();
  } catch {
    stream.reset("cancelled", "the request broke");
  }
}

function bodyOf(stream: LinkStream, first: Uint8Array | null): ReadableStream<Uint8Array> {
  let next: Promise<Uint8Array | null> | null = Promise.resolve(first);
  return new ReadableStream({
    async pull(controller) {
      const bytes = await (next ?? stream.read());
      next = null;
      if (bytes === null) controller.close();
      else controller.enqueue(bytes);
    },
    cancel: () => stream.reset("cancelled", "the client went away"),
  }, { highWaterMark: 0 });
}
