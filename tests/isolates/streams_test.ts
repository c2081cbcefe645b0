/** Terminals and tunnels of a runner whose data link another isolate of the same process holds. */
import { tryStreamsAcross } from "../link/across.ts";
import { HubClient, startHub } from "../support/hub.ts";
import { IsolateProxy, isolatesOf } from "../support/isolate_proxy.ts";
import { startRunner } from "../support/runner.ts";

Deno.test("with PERCH_ISOLATES=3 terminals and tunnels cross isolates", async (t) => {
  await using hub = await startHub({ isolates: 3 });
  await using proxies = new AsyncDisposableStack();
  const clients = (await isolatesOf(hub, 3)).map((isolate) => {
    const client = new HubClient(proxies.use(new IsolateProxy(hub, isolate)).url);
    client.person = hub.person;
    return client;
  });
  const [near, far, farther] = clients as [HubClient, HubClient, HubClient];
  await using runner = await startRunner(near);
  await tryStreamsAcross(t, { near, far, farther, runner, hubPids: [hub.pid] });
});
