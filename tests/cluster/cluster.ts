/** Three real hub processes on one denokv, behind a balancer that sends each connection to the next of them. */
import { Balancer } from "../support/balancer.ts";
import { Denokv, findDenokv, freePort } from "../support/denokv.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { HubClient, HubProcess, setUp } from "../support/hub.ts";

export interface ClusterOptions {
  /** Hub processes; default 3. */
  size?: number;
  /** The hubs reach denokv through `kvProxy`, which costs some latency. */
  isKvFaulty?: boolean;
  /**
   * How the hubs reach one another: through mailboxes in denokv alone (default), directly (PERCH_ISOLATE_URL), or directly
   * through `peerProxies`.
   */
  peers?: "mailboxes" | "direct" | "faulty";
}

export class Cluster implements AsyncDisposable {
  readonly denokv: Denokv;
  /** What lies between the hubs and denokv when `isKvFaulty`. */
  readonly kvProxy: FaultProxy;
  readonly hubs: readonly HubProcess[];
  /** What lies between the other hubs and each hub when `peers` is "faulty". */
  readonly peerProxies: readonly FaultProxy[];
  readonly balancer: Balancer;
  /** The cluster as people see it: through the balancer, whichever process answers. */
  readonly front: HubClient;

  private constructor(
    denokv: Denokv,
    kvProxy: FaultProxy,
    hubs: HubProcess[],
    peerProxies: FaultProxy[],
    balancer: Balancer,
  ) {
    this.denokv = denokv;
    this.kvProxy = kvProxy;
    this.hubs = hubs;
    this.peerProxies = peerProxies;
    this.balancer = balancer;
    this.front = new HubClient(balancer.url);
  }

  /** Starts everything and makes the first account through the balancer. */
  static async start(denokvProgram: string, options: ClusterOptions = {}): Promise<Cluster> {
    const { size = 3, isKvFaulty = false, peers = "mailboxes" } = options;
    const denokv = await Denokv.start(denokvProgram);
    const kvProxy = new FaultProxy(() => denokv.port);
    const env = { PERCH_KV_URL: isKvFaulty ? kvProxy.url : denokv.url, DENO_KV_ACCESS_TOKEN: denokv.token };
    const ports = Array.from({ length: size }, () => freePort());
    const peerProxies = ports.map((port) => new FaultProxy(() => port));
    const hubs: HubProcess[] = [];
    for (const [i, port] of ports.entries()) {
      const peerUrl = peers === "faulty" ? peerProxies[i]!.url : `http://127.0.0.1:${port}`;
      const hubEnv = peers === "mailboxes" ? env : { ...env, PERCH_ISOLATE_URL: peerUrl };
      hubs.push(new HubProcess(await Deno.makeTempDir({ prefix: "perch-hub-" }), { env: hubEnv }));
    }
    const cluster = new Cluster(denokv, kvProxy, hubs, peerProxies, new Balancer(() => ports));
    try {
      // The first builds the app when that is needed.
      await hubs[0]!.start(ports[0]!);
      await Promise.all(hubs.slice(1).map((hub, i) => hub.start(ports[i + 1]!)));
      cluster.front.person = await setUp(hubs[0]!, cluster.front);
      for (const hub of hubs) hub.person = cluster.front.person;
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.balancer[Symbol.asyncDispose]();
    await Promise.all(this.hubs.map((hub) => hub[Symbol.asyncDispose]()));
    await this.kvProxy[Symbol.asyncDispose]();
    await Promise.all(this.peerProxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    await this.denokv[Symbol.asyncDispose]();
  }
}

const denokvProgram = await findDenokv();

/** A test that needs a denokv. Without one it is left out, which findDenokv has said. */
export function clusterTest(name: string, body: (program: string, t: Deno.TestContext) => Promise<void>): void {
  if (denokvProgram !== null) Deno.test(name, (t) => body(denokvProgram, t));
}
