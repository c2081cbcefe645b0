/** Serves a built app from a Worker, as the hub's isolates do. Answers a message (the URL of server.js) with the port. */
const scope = self as unknown as {
  onmessage: (event: MessageEvent<string>) => void;
  postMessage: (message: unknown) => void;
};
scope.onmessage = async ({ data }) => {
  const server: { default: { fetch: Deno.ServeHandler } } = await import(data);
  Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: ({ port }) => scope.postMessage(port),
  }, server.default.fetch);
};
