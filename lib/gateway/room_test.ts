import assert from "node:assert/strict";
import type { SessionStore } from "@/lib/session/types.ts";
import { Peer, register, startHub } from "./testing.ts";

Deno.test("a change that is told while the session's status is being read is read once more", async () => {
  using kv = await Deno.openKv(":memory:");
  // While `held` is set, a read takes what is there and hands it out only when it is let go.
  let held: { reached: PromiseWithResolvers<void>; release: Promise<void> } | null = null;
  const wrap = (store: SessionStore): SessionStore => ({
    ...store,
    sessions: new Proxy(store.sessions, {
      get(sessions, name) {
        const value = Reflect.get(sessions, name, sessions);
        if (name !== "info") return typeof value === "function" ? value.bind(sessions) : value;
        return async (userId: string, sessionId: string) => {
          const info = await sessions.info(userId, sessionId);
          const holding = held;
          held = null;
          holding?.reached.resolve();
          await holding?.release;
          return info;
        };
      },
    }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  });
  await using hub = await startHub(kv, wrap);
  const host = await Peer.open(hub, "relay", "ann");
  host.send(register("s1"));
  await host.next("registered");
  await using viewer = await Peer.open(hub, "viewer", "ann");
  viewer.send({ type: "switch_session", sessionId: "s1", generation: 1 });
  await viewer.next("snapshot");
  // The viewer's own arrival is told, too; nothing but the host's going is to be told from here on.
  await viewer.next("session_status", ({ session }) => session.viewerCount === 1);

  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  held = { reached, release: release.promise };
  hub.hub.gateways.context.hints.sessionStatus("ann", "s1");
  await reached.promise;
  // The host goes while the old state is on its way to the viewer; its going is told before that arrives.
  const gone = Promise.withResolvers<void>();
  using _gone = hub.hub.mesh.subscribe("session:s1", () => gone.resolve());
  await host[Symbol.asyncDispose]();
  await gone.promise;
  release.resolve();
  const { session } = await viewer.next("session_status", ({ session }) => !session.isActive);
  assert.equal(session.sessionId, "s1");
});
