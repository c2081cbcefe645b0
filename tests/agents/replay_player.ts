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

/** What pi answers to commands that a recording does not hold, by type. */
function piDefault(type: string): Json {
  const model = {
    id: "perch-1",
    name: "Perch One",
    provider: "perch",
    reasoning: false,
    input: ["text", "image"],
    contextWindow: 200_000,
  };
  switch (type) {
    case "get_state":
      return { model, thinkingLevel: "off", isStreaming: true, sessionFile: "/nowhere/session.jsonl" };
    case "get_available_models":
      return { models: [model, { ...model, id: "perch-think", reasoning: true }] };
    case "get_available_thinking_levels":
      return { levels: ["off", "low", "high"] };
    case "get_session_stats":
      return { tokens: { input: 1, output: 2 }, contextUsage: { tokens: 3, contextWindow: 200_000 } };
    default:
      return {};
  }
}

/** Commands of the recording client that the adapter sends at the same place. */
const piAwaited = new Set(["prompt", "steer", "abort", "set_model", "set_thinking_level", "extension_ui_response"]);

/** The event that announces a wait for the n-th command that a person gives in mid-turn (steer, abort). */
export function piPoint(n: number): string {
  return `_replay_point_${n}`;
}

/** Plays the `out` lines of a pi RPC recording; answers by itself what the recording client did not ask. */
export class PiPlayer {
  readonly #lines: Line[];
  readonly #send: (message: Json) => void;
  readonly #ids = new Map<unknown, unknown>();
  readonly #received: Json[] = [];
  #next = 0;
  #points = 0;
  #isAnnounced = false;

  constructor(lines: Line[], send: (message: Json) => void) {
    const dropped = new Set<unknown>();
    this.#lines = lines.filter(({ dir, msg }) => {
      const isAwaited = dir === "out" || piAwaited.has(String(msg.type));
      if (!isAwaited) dropped.add(msg.id);
      return isAwaited && !(msg.type === "response" && dropped.has(msg.id));
    });
    this.#send = send;
  }

  get isDone(): boolean {
    return this.#next === this.#lines.length;
  }

  receive(message: Json): void {
    if (piAwaited.has(String(message.type))) this.#received.push(message);
    else {
      const type = String(message.type);
      this.#send({ id: message.id, type: "response", command: type, success: true, data: piDefault(type) });
    }
    this.advance();
  }

  advance(): void {
    for (; this.#next < this.#lines.length; this.#next++) {
      const line = this.#lines[this.#next];
      if (!line) return;
      if (line.dir === "in") {
        if (!this.#take(line.msg)) return;
        this.#isAnnounced = false;
        continue;
      }
      const isResponse = line.msg.type === "response";
      this.#send(isResponse ? { ...line.msg, id: this.#ids.get(line.msg.id) ?? line.msg.id } : line.msg);
    }
  }

  #take(recorded: Json): boolean {
    const index = this.#received.findIndex((message) => message.type === recorded.type);
    const message = this.#received[index];
    const isPoint = recorded.type === "steer" || recorded.type === "abort";
    if (!message) {
      if (isPoint && !this.#isAnnounced) {
        this.#isAnnounced = true;
        this.#send({ type: piPoint(this.#points++) });
      }
      return false;
    }
    this.#received.splice(index, 1);
    if (isPoint && !this.#isAnnounced) this.#points++;
    this.#ids.set(recorded.id, message.id);
    return true;
  }
}
