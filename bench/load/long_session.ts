/** A session that is there already, written by one host: what late viewers attach to. */
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import { limits } from "@/protocol/limits.ts";
import type { HubAddress } from "../../tests/support/hub.ts";
import { Changes } from "../../tests/support/patience.ts";
import { openHubSocket } from "./hub_socket.ts";
import { type RawSocket, textFrame } from "./raw_socket.ts";

/** Records that leave in one frame. */
const FRAME_RECORDS = 50;
const TIMEOUT_MS = 60_000;

export class LongSession implements AsyncDisposable {
  readonly sessionId: string;
  readonly epoch: number;
  readonly socket: RawSocket;
  readonly #changes: Changes;
  readonly #acked: { seq: number };
  #seq = 0;

  private constructor(
    parts: { sessionId: string; epoch: number; socket: RawSocket; changes: Changes; acked: { seq: number } },
  ) {
    this.sessionId = parts.sessionId;
    this.epoch = parts.epoch;
    this.socket = parts.socket;
    this.#changes = parts.changes;
    this.#acked = parts.acked;
  }

  /** Registers the host of a new session. */
  static async open(hub: HubAddress): Promise<LongSession> {
    const sessionId = crypto.randomUUID();
    const changes = new Changes();
    const acked = { seq: 0 };
    let epoch: number | null = null;
    let refusal: string | null = null;
    const socket = await openHubSocket(hub, "relay", (message) => {
      if (message.type === "registered") epoch = message.epoch as number;
      else if (message.type === "event_ack") acked.seq = message.seq as number;
      else if (message.type === "error") refusal = JSON.stringify(message);
      changes.notify();
    });
    socket.send(textFrame(JSON.stringify({
      type: "register",
      protocolVersion: PROTOCOL_VERSION,
      sessionId,
      runnerId: "bench",
      logId: crypto.randomUUID(),
      lastSeq: 0,
      cwd: "/bench",
      sessionName: null,
      agent: { id: "custom", name: "Bench" },
      startedAt: Date.now(),
    })));
    await changes.until(() => {
      if (refusal !== null) throw new Error(`the hub refused: ${refusal}`);
      return epoch !== null;
    }, "the registration of a host");
    return new LongSession({ sessionId, epoch: epoch!, socket, changes, acked });
  }

  get lastSeq(): number {
    return this.#seq;
  }

  /** Writes the versions `texts` of entries from `firstIndex` on, as fast as acknowledgements allow; resolves when all are committed. */
  async write(firstIndex: number, texts: readonly string[]): Promise<void> {
    for (let from = 0; from < texts.length; from += FRAME_RECORDS) {
      const events = texts.slice(from, from + FRAME_RECORDS).map((text, i) =>
        recordJson(this.sessionId, this.epoch, ++this.#seq, firstIndex + from + i, text)
      );
      await this.#ackedUpTo(this.#seq - limits.unackedRecords);
      this.socket.send(textFrame(`[${events.join(",")}]`));
    }
    await this.#ackedUpTo(this.#seq);
  }

  async #ackedUpTo(seq: number): Promise<void> {
    if (this.#acked.seq < seq) await this.#changes.until(() => this.#acked.seq >= seq, `the ack of ${seq}`, TIMEOUT_MS);
    if (this.socket.fault !== null) throw this.socket.fault;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.socket.close();
  }
}

/** The record of a closed agent message. */
export function recordJson(sessionId: string, epoch: number, seq: number, index: number, text: string): string {
  const head = {
    status: "completed",
    startedAt: 1_700_000_000_000,
    endedAt: 1_700_000_001_000,
    textLength: text.length,
  };
  const entry = { id: `entry-${index}`, index, kind: "agent_message", head, body: { text } };
  return JSON.stringify({ type: "event", sessionId, epoch, seq, entry });
}
