/** A local server behind a tunnel, for tests that look at both ends. */
import { createHash } from "node:crypto";
import { within } from "../support/patience.ts";
import { localServer } from "../tunnel/support.ts";

/** A stream of events that a client has asked for. */
export interface EventFeed {
  send(text: string): void;
  /** The client has left. */
  left: Promise<void>;
}

const PIECE_BYTES = 64 * 1024;
const encoder = new TextEncoder();

/** Bytes that differ from place to place. */
export function pattern(length: number, from = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 31 + ((from + i) >> 8) * 7) & 255;
  return bytes;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * `/pattern?bytes=` gives so many (with `&length`, and says so first), `/hash` the digest of what is posted, `/endless` gives for ever, `/never` takes a body and reads
 * nothing of it, `/broken` breaks off, `/events` is a feed, `/socket` an echo that closes when it is told "close <code>
 * <reason>".
 */
export class LocalApp implements AsyncDisposable {
  readonly #server = localServer((req) => this.#answer(req));
  readonly #feeds: PromiseWithResolvers<EventFeed>[] = [];
  readonly #closes: PromiseWithResolvers<CloseEvent>[] = [];
  readonly #over = Promise.withResolvers<Response>();
  /** Bytes of `/endless` that were taken. */
  endlessBytes = 0;
  /** Requests that wait for an answer that does not come. */
  unanswered = 0;
  /** Requests and sockets that are under way. */
  open = 0;
  /** Bodies that it took for whole and that were not what their sender said (`x-sha256`). */
  wrongBodies = 0;

  get port(): number {
    return this.#server.port;
  }

  /** The feed of the next client that asks for one. */
  nextFeed(): Promise<EventFeed> {
    const feed = Promise.withResolvers<EventFeed>();
    this.#feeds.push(feed);
    return within(feed.promise, "a client of the feed");
  }

  /** How the next of its sockets is closed. */
  nextClose(): Promise<CloseEvent> {
    const close = Promise.withResolvers<CloseEvent>();
    this.#closes.push(close);
    return within(close.promise, "the close at the local server");
  }

  #answer(req: Request): Response | Promise<Response> {
    const url = new URL(req.url);
    switch (url.pathname) {
      case "/pattern":
        return this.#pattern(Number(url.searchParams.get("bytes")), url.searchParams.has("length"));
      case "/hash":
        return this.#digest(req);
      case "/endless":
        return new Response(this.#endless());
      case "/never":
        this.unanswered++;
        return this.#over.promise;
      case "/broken":
        return new Response(brokenStream());
      case "/events":
        return new Response(this.#feed(), { headers: { "content-type": "text/event-stream" } });
      case "/socket":
        return this.#socket(req);
      default:
        return new Response("here");
    }
  }

  #pattern(bytes: number, hasLength: boolean): Response {
    let at = 0;
    this.open++;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (at >= bytes) {
          this.open--;
          return controller.close();
        }
        const piece = pattern(Math.min(PIECE_BYTES, bytes - at), at);
        at += piece.length;
        controller.enqueue(piece);
      },
      cancel: () => void this.open--,
    });
    return new Response(body, hasLength ? { headers: { "content-length": `${bytes}` } } : {});
  }

  async #digest(req: Request): Promise<Response> {
    const expected = req.headers.get("x-sha256");
    const hash = createHash("sha256");
    this.open++;
    try {
      for await (const piece of req.body ?? []) hash.update(piece);
    } finally {
      this.open--;
    }
    const digest = hash.digest("hex");
    if (expected !== null && expected !== digest) this.wrongBodies++;
    return new Response(digest);
  }

  #endless(): ReadableStream<Uint8Array> {
    return new ReadableStream({
      pull: (controller) => {
        this.endlessBytes += PIECE_BYTES;
        controller.enqueue(new Uint8Array(PIECE_BYTES));
      },
    }, { highWaterMark: 0 });
  }

  #feed(): ReadableStream<Uint8Array> {
    const left = Promise.withResolvers<void>();
    return new ReadableStream({
      start: (controller) => {
        const send = (text: string) => controller.enqueue(encoder.encode(text));
        this.#feeds.shift()?.resolve({ send, left: left.promise });
      },
      cancel: () => left.resolve(),
    });
  }

  #socket(req: Request): Response {
    const offered = req.headers.get("sec-websocket-protocol")?.split(/, */) ?? [];
    const { socket, response } = Deno.upgradeWebSocket(req, offered.includes("chat") ? { protocol: "chat" } : {});
    socket.binaryType = "arraybuffer";
    socket.onerror = (event) => event.preventDefault();
    this.open++;
    socket.onclose = (event) => {
      this.open--;
      this.#closes.shift()?.resolve(event);
    };
    socket.onmessage = ({ data }) => {
      const order = typeof data === "string" ? /^close (\d+) (.*)$/.exec(data) : null;
      if (order) socket.close(Number(order[1]), order[2]);
      else if (socket.readyState === WebSocket.OPEN) socket.send(data);
    };
    return response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.resolve(new Response(null, { status: 503 }));
    await this.#server[Symbol.asyncDispose]();
  }
}

/** Some bytes, and a failure in place of the end. */
function brokenStream(): ReadableStream<Uint8Array> {
  let isBegun = false;
  return new ReadableStream({
    pull(controller) {
      if (isBegun) controller.error(new Error("broken"));
      else controller.enqueue(encoder.encode("some"));
      isBegun = true;
    },
  });
}
