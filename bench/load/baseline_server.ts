/**
 * What the relay is compared with: `Deno.serve` handing each frame of `/producer` to every socket of `/viewer` and doing nothing
 * else: no parsing, no storing, no catching up. A process of its own; prints its port.
 */
const viewers = new Set<WebSocket>();

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`listening on ${port}`),
}, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  if (new URL(request.url).pathname === "/viewer") {
    socket.onopen = () => viewers.add(socket);
    socket.onclose = () => viewers.delete(socket);
  } else {
    socket.onmessage = ({ data }) => {
      for (const viewer of viewers) viewer.send(data);
    };
  }
  return response;
});
