import assert from "node:assert/strict";
import { Counters } from "./counters.ts";
import { openMesh } from "./mesh/mesh.ts";
import { HubMetrics } from "./metrics.ts";
import { openSessionStore } from "./session/store.ts";

Deno.test("an isolate that does not answer in time is down; the page has the others all the same", async () => {
  using kv = await Deno.openKv(":memory:");
  await using mesh = await openMesh({ kv });
  await using hung = await openMesh({ kv });
  await using store = openSessionStore({ kv, mesh });
  hung.serve("metrics", () => new Promise(() => {}));
  const counters = new Counters();
  counters.add("connections_opened", "viewer", 3);
  using metrics = new HubMetrics({ mesh, store, counters, isDraining: () => false });
  const lines = (await metrics.page()).split("\n");
  assert.ok(lines.includes(`perch_isolate_up{isolate="${mesh.isolateId}"} 1`));
  assert.ok(lines.includes(`perch_isolate_up{isolate="${hung.isolateId}"} 0`));
  assert.ok(lines.includes(`perch_connections_opened_total{isolate="${mesh.isolateId}",namespace="viewer"} 3`));
});
