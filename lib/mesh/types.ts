/** How isolates of one hub reach each other (design §6). */

/** A message to a topic or an isolate. JSON-serialisable. */
export type MeshPayload = unknown;

/** Names of topics: what an isolate can have subscribers to. */
export type Topic = `session:${string}` | `user:${string}` | `tunnel:${string}` | `hub`;

export interface Mesh {
  readonly isolateId: string;
  /**
   * Delivers to this isolate's own subscribers at once (synchronously, by reference) and to interested other isolates in
   * packed batches. FIFO from one publisher to one isolate. No interest elsewhere: no KV write.
   */
  publish(topic: Topic, payload: MeshPayload): void;
  /**
   * Subscribes locally at once; the promise resolves when every live isolate knows of the interest (or is past its
   * lease), so that state read from KV afterwards plus what is delivered misses nothing.
   */
  subscribe(
    topic: Topic,
    listener: (payload: MeshPayload, from: string) => void,
  ): { ready: Promise<void>; [Symbol.dispose](): void };
  /** Registers what `call` reaches on this isolate. */
  serve(method: string, handler: (params: MeshPayload, from: string) => Promise<MeshPayload>): void;
  /**
   * Calls a method on an isolate (the own one directly). FIFO with what is published to that isolate. Rejects with
   * MeshError: `gone` (no such live isolate), `timeout`, `failed` (the handler threw; its message).
   */
  call(isolateId: string, method: string, params: MeshPayload, options?: { timeoutMs?: number }): Promise<MeshPayload>;
  /** Whether that isolate's lease is current. */
  isLive(isolateId: string): boolean;
  /** Answers `/ws/mesh`, where other isolates of this hub connect with a ticket of their own: 101, or 400 or 401 with an error. */
  upgrade(req: Request): Promise<Response>;
  /** The isolates alive now, this one included. */
  liveIsolates(): string[];
  /**
   * Other isolates, those of them that messages go to directly, and those that do not keep up; what waits for them: not sent
   * yet (outbox), and not said to be read (unread, in steps of 256 KiB); messages dropped so far.
   */
  stats(): {
    peers: number;
    direct: number;
    lagging: number;
    outboxBytes: number;
    unreadBytes: number;
    dropped: number;
  };
  [Symbol.asyncDispose](): Promise<void>;
}

export class MeshError extends Error {
  override name = "MeshError";
  constructor(readonly code: "gone" | "timeout" | "failed", message: string) {
    super(message);
  }
}
