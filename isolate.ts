/// <reference lib="deno.worker" />
/** A further isolate of the hub (`PERCH_ISOLATES`): a worker that serves the same port. Started and stopped by `start.ts`. */

export type IsolateCommand =
  | { type: "serve"; host: string; port: number }
  /** Not ready from now on; open sockets stay. */
  | { type: "begin_drain" }
  | { type: "stop" };
export type IsolateReport = { type: "loaded" } | { type: "ready" } | { type: "stopped" };

const { closeHub, hub, serve } = await import("./main.ts");
const { default: site } = await import("./_fresh/server.js");
let server: Deno.HttpServer | undefined;

self.onmessage = async ({ data }: MessageEvent<IsolateCommand>) => {
  if (data.type === "serve") {
    const onListen = () => self.postMessage({ type: "ready" } satisfies IsolateReport);
    server = serve(site.fetch, { hostname: data.host, port: data.port, reusePort: true, onListen });
    return;
  }
  if (data.type === "begin_drain") return hub.beginDrain();
  await closeHub();
  await server?.shutdown();
  self.postMessage({ type: "stopped" } satisfies IsolateReport);
  self.close();
};
self.postMessage({ type: "loaded" } satisfies IsolateReport);
