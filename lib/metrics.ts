/** The page of /metrics: what all isolates of the hub measured, whichever of them is asked. */
import { hostname } from "node:os";
import process from "node:process";
import type { Counters } from "./counters.ts";
import { callIsolate, serveCall } from "./gateway/context.ts";
import { type IsolateMetrics, renderMetrics } from "./metrics_text.ts";
import type { Mesh } from "./mesh/types.ts";
import type { SessionStore } from "./session/types.ts";

/** How long an isolate may take to tell its numbers. One that does not is shown as down. */
const ANSWER_MS = 1_500;
/** How often the event loop's lag is looked at. */
const LAG_MS = 500;

export interface HubMetricsOptions {
  mesh: Mesh;
  store: SessionStore;
  counters: Counters;
  isDraining(): boolean;
}

/** Measures one isolate, and answers for all of them. Its maker disposes it. */
export class HubMetrics {
  readonly #options: HubMetricsOptions;
  readonly #startedMs = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(options: HubMetricsOptions) {
    this.#options = options;
    serveCall(options.mesh, "metrics", () => this.own());
    let lastMs = performance.now();
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      options.counters.observe("event_loop_lag", Math.max(0, nowMs - lastMs - LAG_MS));
      lastMs = nowMs;
    }, LAG_MS);
  }

  /** This isolate's numbers. */
  own(): IsolateMetrics {
    const { mesh, store, counters, isDraining } = this.#options;
    const peers = mesh.stats();
    const writer = store.stats();
    const memory = Deno.memoryUsage();
    const cpu = process.cpuUsage();
    counters.set("mesh_peers", "", peers.peers);
    counters.set("mesh_peers_direct", "", peers.direct);
    counters.set("mesh_peers_lagging", "", peers.lagging);
    counters.set("mesh_outbox_bytes", "", peers.outboxBytes);
    counters.set("mesh_messages_dropped", "", peers.dropped);
    counters.set("mesh_unread_bytes", "", peers.unreadBytes);
    counters.set("writer_queue_bytes", "", writer.queuedBytes);
    counters.set("writer_queue_groups", "", writer.queuedGroups);
    counters.set("writer_commits", "", writer.commits);
    counters.set("writer_groups", "", writer.groups);
    counters.set("draining", "", isDraining() ? 1 : 0);
    counters.set("uptime_seconds", "", (performance.now() - this.#startedMs) / 1_000);
    counters.set("heap_used_bytes", "", memory.heapUsed);
    counters.set("process_resident_memory_bytes", "", memory.rss);
    counters.set("process_cpu_seconds", "", (cpu.user + cpu.system) / 1e6);
    return { isolate: mesh.isolateId, process: `${hostname()}:${Deno.pid}`, ...counters.snapshot() };
  }

  /** The page in Prometheus' text format. Never rejects: isolates that do not answer in time are `perch_isolate_up 0`. */
  async page(): Promise<string> {
    const { mesh } = this.#options;
    const isolates = mesh.liveIsolates();
    const answers = await Promise.all(isolates.map(async (isolate) => {
      if (isolate === mesh.isolateId) return this.own();
      try {
        return await callIsolate(mesh, isolate, "metrics", null, { timeoutMs: ANSWER_MS });
      } catch {
        return null;
      }
    }));
    const silent = isolates.filter((_, at) => answers[at] === null);
    return renderMetrics(answers.filter((answer) => answer !== null), silent);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
