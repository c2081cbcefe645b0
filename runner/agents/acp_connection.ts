/**
 * One ACP connection over an agent's stdio. The SDK correlates requests and replies; what arrives is seen here first, in the
 * order in which it was sent: the SDK hands notifications, requests and replies over through chains of different length,
 * so that an update could otherwise overtake a permission request, or a reply the update before it.
 */
import { type AnyMessage, client, type ClientConnection, ndJsonStream, RequestError } from "@agentclientprotocol/sdk";
import { isObject, type JsonObject, objectOf, stringOf } from "./read.ts";

/** Largest message an agent may send, in bytes. The largest seen is Qwen's list of commands, 569 KB. */
export const maxMessageBytes = 32 * 1024 * 1024;

/** An agent's reply to a request of ours, or its error. */
export type AcpReply = { result: JsonObject } | { error: { code: number; message: string; data?: unknown } };

export interface AcpHandlers {
  /** An update notification's params. Called synchronously, in order. */
  onUpdate(params: unknown): void;
  /**
   * A reply to the `count`-th request of this method (from 1), before the promise of `request` settles. Called
   * synchronously, in order.
   */
  onReply(method: string, count: number, reply: AcpReply): void;
  /** A permission request; called synchronously, in order. `signal` aborts when the agent withdraws it. */
  onPermission(params: unknown, signal: AbortSignal): Promise<unknown>;
  /** Other requests that this client serves, by method. */
  requests: Record<string, (params: unknown) => Promise<unknown>>;
  /** A notification that nothing handles. */
  onUnknown(method: string): void;
}

type MessageId = string | number | null;

export class AcpConnection {
  readonly #connection: ClientConnection;
  readonly #asked = new Map<MessageId, { method: string; count: number }>();
  readonly #counts = new Map<string, number>();
  readonly #permissions = new Map<MessageId, { answer: Promise<unknown>; withdraw: AbortController }>();
  readonly #handlers: AcpHandlers;

  constructor(
    pipes: { stdin: WritableStream<Uint8Array>; stdout: ReadableStream<Uint8Array> },
    handlers: AcpHandlers,
  ) {
    this.#handlers = handlers;
    const stream = ndJsonStream(pipes.stdin, pipes.stdout, { maxMessageBytes });
    const readable = stream.readable.pipeThrough(
      new TransformStream<AnyMessage, AnyMessage>({
        transform: (message, controller) => {
          if (this.#arrived(message)) controller.enqueue(message);
        },
      }),
    );
    const writer = stream.writable.getWriter();
    const writable = new WritableStream<AnyMessage>({
      write: (message) => {
        if ("method" in message && "id" in message) {
          const count = (this.#counts.get(message.method) ?? 0) + 1;
          this.#counts.set(message.method, count);
          this.#asked.set(message.id, { method: message.method, count });
        }
        return writer.write(message);
      },
    });
    const app = client({ name: "perch" }).onRequest(
      "session/request_permission",
      (params) => params,
      async ({ requestId, signal }) => {
        const permission = this.#permissions.get(requestId ?? null);
        if (!permission) throw RequestError.internalError();
        signal.addEventListener("abort", () => permission.withdraw.abort(), { once: true });
        try {
          return await permission.answer;
        } finally {
          this.#permissions.delete(requestId ?? null);
        }
      },
    );
    for (const [method, serve] of Object.entries(handlers.requests)) {
      app.onRequest(method, (params) => params, ({ params }) => serve(params));
    }
    this.#connection = app.connect({ readable, writable });
  }

  /** Resolves when the agent closed its side, broke the framing or `close` was called. */
  get closed(): Promise<void> {
    return this.#connection.closed;
  }

  /** Why the connection closed, where it was not simply the end of the stream. */
  get closeReason(): unknown {
    return this.#connection.signal.reason;
  }

  /** Sends a request. Rejects with the SDK's RequestError when the agent refuses, or when the connection closes. */
  async request(method: string, params: JsonObject): Promise<JsonObject> {
    return objectOf(await this.#connection.agent.request<unknown>(method, params));
  }

  /** Sends a notification; a broken pipe is no error here, for the process's end is reported elsewhere. */
  async notify(method: string, params: JsonObject): Promise<void> {
    await this.#connection.agent.notify(method, params).catch(() => {});
  }

  close(): void {
    this.#connection.close();
  }

  /** Handles a message that arrived; returns whether the SDK is to see it. */
  #arrived(message: AnyMessage): boolean {
    if (!isObject(message)) return true;
    const fields: JsonObject = message;
    const method = stringOf(fields.method);
    if (method === undefined) {
      const id = messageId(fields.id);
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (asked) this.#handlers.onReply(asked.method, asked.count, replyOf(fields));
      return true;
    }
    if (!("id" in fields)) {
      if (method === "session/update") this.#handlers.onUpdate(fields.params);
      else if (method === "$/cancel_request") return true;
      else this.#handlers.onUnknown(method);
      return false;
    }
    if (method === "session/request_permission") {
      const withdraw = new AbortController();
      const answer = this.#handlers.onPermission(fields.params, withdraw.signal);
      answer.catch(() => {});
      this.#permissions.set(messageId(fields.id), { answer, withdraw });
    } else if (!(method in this.#handlers.requests)) this.#handlers.onUnknown(method);
    return true;
  }
}

function messageId(id: unknown): MessageId {
  return typeof id === "string" || typeof id === "number" ? id : null;
}

function replyOf(fields: JsonObject): AcpReply {
  if (!isObject(fields.error)) return { result: objectOf(fields.result) };
  const { code, message, data } = fields.error;
  return {
    error: {
      code: typeof code === "number" ? code : -32603,
      message: stringOf(message) ?? "unknown error",
      ...(data === undefined ? {} : { data }),
    },
  };
}
