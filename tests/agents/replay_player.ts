/** The order of a replay, without I/O: what to send, and what to wait for. */
import { objectOf } from "@/runner/agents/read.ts";
import type { Json, Line } from "./transcript.ts";

/** The notification that announces a wait for session/cancel; the n-th wait has its own name. */
export function cancelPoint(n: number): string {
  return `_replay/cancel_${n}`;
}

/** Plays the `out` lines of an ACP recording. */
export class AcpPlayer {
  readonly #lines: Line[];
  readonly #send: (message: Json) => void;
  readonly #ids = new Map<unknown, unknown>();
  readonly #received: Json[] = [];
  #next = 0;
  #cancels = 0;
  #isAnnounced = false;

  constructor(lines: Line[], send: (message: Json) => void) {
    this.#lines = lines;
    this.#send = send;
  }

  get isDone(): boolean {
    return this.#next === this.#lines.length;
  }

  receive(message: Json): void {
    this.#received.push(message);
    this.advance();
  }

  /** Sends all that may be sent now. */
  advance(): void {
    for (; this.#next < this.#lines.length; this.#next++) {
      const line = this.#lines[this.#next];
      if (!line) return;
      if (line.dir === "in") {
        if (!this.#take(line.msg)) return;
        this.#isAnnounced = false;
        continue;
      }
      const isReply = line.msg.method === undefined && "id" in line.msg;
      this.#send(isReply ? { ...line.msg, id: this.#ids.get(line.msg.id) ?? line.msg.id } : line.msg);
    }
  }

  /** Takes the message that the recording client sent here, if it has come. */
  #take(recorded: Json): boolean {
    const isReply = recorded.method === undefined;
    const index = this.#received.findIndex((message) =>
      isReply ? message.method === undefined && message.id === recorded.id : message.method === recorded.method
    );
    const message = this.#received[index];
    if (!message) {
      if (recorded.method === "session/cancel" && !this.#isAnnounced) {
        this.#isAnnounced = true;
        this.#send({ jsonrpc: "2.0", method: cancelPoint(this.#cancels++), params: {} });
      }
      return false;
    }
    this.#received.splice(index, 1);
    if (recorded.method === "session/cancel" && !this.#isAnnounced) this.#cancels++;
    if ("id" in recorded && !isReply) this.#ids.set(recorded.id, message.id);
    return true;
  }
}

/** The text of a recorded prompt. */
export function promptText(recorded: Json): string {
  const blocks = objectOf(recorded.params).prompt;
  return Array.isArray(blocks) ? String(objectOf(blocks[0]).text) : "";
}
