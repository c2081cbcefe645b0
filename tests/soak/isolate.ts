/** One isolate of the hub on a fast clock, which can be closed or can die as a killed process does: without writing another byte. */
import { testAuth } from "@/lib/gateway/testing.ts";
import type { Namespace } from "@/lib/gateway/connection.ts";
import { type Hub, openHub } from "@/lib/hub.ts";
import { createLog } from "@/lib/log.ts";
import { openMesh } from "@/lib/mesh/mesh.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import { Retention } from "@/lib/retention.ts";
import type { RetentionLimits } from "@/lib/retention_policy.ts";
import { openSessionStore } from "@/lib/session/store.ts";
import type { SessionStore } from "@/lib/session/types.ts";

/** Milliseconds of the fast clock. */
const MINUTE = 60_000;

export class SoakIsolate {
  readonly host: string;
  #isDead: { value: boolean };

  private constructor(
    isDead: { value: boolean },
    readonly mesh: Mesh,
    readonly store: SessionStore,
    readonly hub: Hub,
    readonly retention: Retention,
    readonly server: Deno.HttpServer<Deno.NetAddr>,
  ) {
    this.#isDead = isDead;
    this.host = `127.0.0.1:${server.addr.port}`;
  }

  /** Starts one; expiry and retention go by `now`, leases by `clockMs`, which never jumps. */
  static async start(
    realKv: Deno.Kv,
    now: () => number,
    clockMs: () => number,
    limits: RetentionLimits,
  ): Promise<SoakIsolate> {
    const isDead = { value: false };
    const kv = mortalKv(realKv, isDead);
    const ignore = () => {};
    const mesh = await openMesh({
      kv,
      now,
      clockMs,
      leaseMs: 90 * MINUTE,
      renewMs: 400,
      onError: ignore,
      onOverflow: ignore,
    });
    const store = openSessionStore({ kv, mesh, now, retentionBytes: limits.sessionBytes, onError: ignore });
    const log = createLog("error", {}, ignore);
    const hub = openHub({ kv, mesh, store, auth: testAuth, config: {}, version: "0", isolateId: mesh.isolateId, log });
    const retention = new Retention({
      kv,
      store,
      mesh,
      limits,
      log,
      now,
      lookMs: 300,
      passMs: 10 * MINUTE,
      leaseMs: 60 * MINUTE,
      onForgotten: (userId, sessionId) => hub.sessionGone(userId, sessionId),
    });
    retention.start();
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: ignore }, async (req) => {
      const namespace = new URL(req.url).pathname.replace("/ws/", "") as Namespace;
      return hub.gateways.upgrade(namespace, req, await testAuth.authenticate(req));
    });
    return new SoakIsolate(isDead, mesh, store, hub, retention, server);
  }

  async close(): Promise<void> {
    await this.hub.close();
    await this.retention[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
    await this.mesh[Symbol.asyncDispose]();
    await this.server.shutdown();
  }

  /** Nothing reaches the database any more; its sockets close. What it held there stays as it is. */
  async die(): Promise<void> {
    this.#isDead.value = true;
    await this.close();
  }
}

/** A KV that takes no more writes once `isDead`. */
function mortalKv(kv: Deno.Kv, isDead: { value: boolean }): Deno.Kv {
  const dead = () => Promise.reject(new TypeError("this isolate is dead"));
  return new Proxy(kv, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if ((name === "set" || name === "delete") && isDead.value) return dead;
      if (name !== "atomic") return member.bind(target);
      return () => {
        const atomic = target.atomic();
        const commit = atomic.commit.bind(atomic);
        atomic.commit = () => isDead.value ? dead() : commit();
        return atomic;
      };
    },
  });
}
