/** Requests and records of pi's RPC mode over its stdio. */
import { LineSplitter } from "./json_lines.ts";
import type { AgentPipes } from "./process.ts";
import { isObject, type JsonObject, objectOf, stringOf } from "./read.ts";

/** pi answered a command with `success: false`. */
export class PiError extends Error {
  override name = "PiError";
}

export interface PiRpcHandlers {
  /** A record that is no response to one of our commands. Called in order. */
  onEvent(event: JsonObject): void;
  /** A response, before the promise of `request` settles. Called in order. */
  onResponse(id: string, response: JsonObject): void;
  /** The output ended or broke; no record comes any more. */
  onEnd(error: unknown): void;
}

export class PiRpc {
  readonly #pending = new Map<string, { resolve(data: JsonObject): void; reject(error: Error): void }>();
  readonly #handlers: PiRpcHandlers;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #nextId = 1;
  #isEnded = false;

  constructor(pipes: Pick<AgentPipes, "stdin" | "stdout">, handlers: PiRpcHandlers) {
    this.#handlers = handlers;
    this.#writer = pipes.stdin.getWriter();
    this.#writer.closed.catch(() => {});
    void this.#read(pipes.stdout);
  }

  /** Sends a command; `data` of its response. Rejects with PiError when pi refuses, with Error when its output ends. */
  request(command: JsonObject): { id: string; data: Promise<JsonObject> } {
    const id = `p${this.#nextId++}`;
    const { promise, resolve, reject } = Promise.withResolvers<JsonObject>();
    promise.catch(() => {});
    if (this.#isEnded) reject(new Error("pi is not running"));
    else {
      this.#pending.set(id, { resolve, reject });
      this.send({ id, ...command });
    }
    return { id, data: promise };
  }

  /** Sends a record that has no response. */
  send(record: JsonObject): void {
    // A broken pipe shows as the end of the output.
    this.#writer.write(new TextEncoder().encode(`${JSON.stringify(record)}\n`)).catch(() => {});
  }

  async #read(stdout: ReadableStream<Uint8Array>): Promise<void> {
    const splitter = new LineSplitter();
    let failure: unknown = null;
    try {
      for await (const chunk of stdout) for (const line of splitter.push(chunk)) this.#arrived(line);
    } catch (error) {
      failure = error;
    }
    this.#isEnded = true;
    for (const { reject } of this.#pending.values()) reject(new Error("pi's output ended"));
    this.#pending.clear();
    this.#handlers.onEnd(failure);
  }

  #arrived(line: string): void {
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch {
      record = null;
    }
    // Extensions print to stdout now and then; such lines are not ours.
    if (!isObject(record)) return this.#handlers.onEvent({ type: "unparsable_line" });
    const id = stringOf(record.id);
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (record.type !== "response" || id === undefined || !pending) return this.#handlers.onEvent(record);
    this.#pending.delete(id);
    this.#handlers.onResponse(id, record);
    if (record.success === true) pending.resolve(objectOf(record.data));
    else pending.reject(new PiError(stringOf(record.error) ?? "pi refused without a reason"));
  }
}
