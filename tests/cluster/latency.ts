/** How long a record takes from its host to a viewer, both in this process and so on one clock. */
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { HubAddress } from "../support/hub.ts";
import type { ScriptedProducer } from "../support/producer.ts";
import { Peer } from "../support/socket.ts";

/** A viewer that notes when each text arrives first. */
export class LatencyProbe implements AsyncDisposable {
  readonly #peer: Peer;
  readonly #sentMs = new Map<string, number>();
  readonly latencies: number[] = [];

  private constructor(peer: Peer) {
    this.#peer = peer;
    peer.socket.addEventListener("message", ({ data }) => {
      const nowMs = performance.now();
      for (const message of [JSON.parse(data)].flat()) {
        const text = message.type === "event" ? message.entry?.body?.text : undefined;
        const sentMs = this.#sentMs.get(text);
        if (sentMs === undefined) continue;
        this.#sentMs.delete(text);
        this.latencies.push(nowMs - sentMs);
      }
      peer.received.length = 0;
    });
  }

  static async open(hub: HubAddress, sessionId: string): Promise<LatencyProbe> {
    const peer = await Peer.open(hub, "viewer", { cookie: hub.person.cookie, origin: hub.url }, PROTOCOL_VERSION);
    peer.send({ type: "switch_session", sessionId, generation: 1 });
    // What is said before the content has come may be part of it, and would not come as an event.
    await peer.next("snapshot");
    return new LatencyProbe(peer);
  }

  /** Lets the host say something and notes when. */
  say(host: ScriptedProducer): void {
    const text = crypto.randomUUID();
    this.#sentMs.set(text, performance.now());
    host.say(text);
  }

  get missing(): number {
    return this.#sentMs.size;
  }

  /** "p50 1.2 ms, p99 3.4 ms, highest 5.6 ms of 500" */
  summary(): string {
    const sorted = this.latencies.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]?.toFixed(1);
    return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, highest ${at(1)} ms of ${sorted.length}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer.close();
  }
}
