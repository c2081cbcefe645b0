/** WebSockets between isolates, where an isolate can be reached by a URL. */
import { errorText } from "@/lib/log.ts";
import { ClientSocket } from "@/protocol/link/client_socket.ts";
import type { LinkTransport } from "@/protocol/link/multiplexer.ts";
import { limits } from "@/protocol/limits.ts";
import { PeerTickets } from "./peer_ticket.ts";

/** Header that carries the ticket of an upgrade. */
export const TICKET_HEADER = "x-perch-peer";
/** How long connecting may take, and how long it is not tried again when it failed. */
const CONNECT_MS = 2_000;
const AVOID_MS = 30_000;

/** One open socket to another isolate. */
export interface PeerSocket {
  readonly isolateId: string;
  readonly transport: LinkTransport;
  /** Whether the bytes of a message are written over when `onMessage` returns. */
  readonly lifetime: "kept" | "borrowed";
  /** Set by whoever takes the socket. */
  onMessage: ((message: Uint8Array) => void) | null;
  /** Called once, when it is closed. */
  onClosed: ((reason: string) => void) | null;
  close(reason: string): void;
}

export interface PeerSocketsOptions {
  kv: Deno.Kv;
  isolateId: string;
  /** What the sockets are for: `/ws/peer` is for streams, `/ws/mesh` for the mesh's messages. */
  path: "/ws/peer" | "/ws/mesh";
  /** An isolate could not be connected to. It is not tried again for half a minute. */
  onUnreachable(isolateId: string, url: string, reason: string): void;
  /** Another isolate has connected. */
  onSocket(socket: PeerSocket): void;
}

export class PeerSockets {
  readonly #options: PeerSocketsOptions;
  readonly #tickets: PeerTickets;
  /** Isolates that could not be reached, and until when that is not tried again. */
  readonly #avoided = new Map<string, number>();

  constructor(options: PeerSocketsOptions) {
    this.#options = options;
    this.#tickets = new PeerTickets(options.kv);
  }

  /** Connects to an isolate at its URL; null when it cannot be reached so. */
  async connect(isolateId: string, url: string): Promise<PeerSocket | null> {
    if ((this.#avoided.get(isolateId) ?? 0) > performance.now()) return null;
    try {
      const ticket = await this.#tickets.issue(this.#options.isolateId, isolateId);
      return await open(isolateId, new URL(this.#options.path, url), ticket);
    } catch (error) {
      this.#options.onUnreachable(isolateId, url, errorText(error));
      this.#avoided.set(isolateId, performance.now() + AVOID_MS);
      return null;
    }
  }

  isolateGone(isolateId: string): void {
    this.#avoided.delete(isolateId);
  }

  /** Answers the path: 401 without a valid ticket for this very isolate, else the upgrade. */
  async upgrade(req: Request): Promise<Response> {
    const from = await this.#tickets.check(req.headers.get(TICKET_HEADER) ?? "", this.#options.isolateId);
    if (from === null) {
      const message = `${this.#options.path} is for isolates of this hub`;
      return Response.json({ error: { code: "unauthorized", message } }, { status: 401 });
    }
    let upgraded: Deno.WebSocketUpgrade;
    try {
      upgraded = Deno.upgradeWebSocket(req, { idleTimeout: limits.silenceMs / 1000 });
    } catch (error) {
      return Response.json({ error: { code: "not_websocket", message: errorText(error) } }, { status: 400 });
    }
    const { socket, response } = upgraded;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const peer = new WrappedSocket(from, socket);
      socket.onmessage = ({ data }) => {
        if (data instanceof ArrayBuffer) peer.receive(new Uint8Array(data));
        else peer.close("text on a link between isolates");
      };
      socket.onclose = () => peer.closed("the other isolate's socket closed");
      socket.onerror = () => peer.closed("the other isolate's socket failed");
      this.#options.onSocket(peer);
    };
    return response;
  }
}

async function open(isolateId: string, target: URL, ticket: string): Promise<PeerSocket> {
  target.protocol = target.protocol === "https:" ? "wss:" : "ws:";
  const socket = new ClientSocket(target.href, { [TICKET_HEADER]: ticket });
  const opening = Promise.withResolvers<void>();
  const timer = setTimeout(() => opening.reject(new Error(`no answer within ${CONNECT_MS} ms`)), CONNECT_MS);
  const peer = new WrappedSocket(isolateId, socket);
  // From the start: the other end may speak first.
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") peer.receive(data);
    else peer.close("text on a link between isolates");
  };
  socket.onopen = () => opening.resolve();
  socket.onclose = ({ reason }) => opening.reject(new Error(reason));
  try {
    await opening.promise;
  } catch (error) {
    socket.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  socket.onclose = ({ reason }) => peer.closed(reason);
  return peer;
}

/** A socket as its maker has it. What happens before somebody took it waits until then. */
class WrappedSocket implements PeerSocket {
  readonly isolateId: string;
  readonly lifetime: PeerSocket["lifetime"];
  readonly transport: LinkTransport;
  readonly #socket: WebSocket | ClientSocket;
  #onMessage: PeerSocket["onMessage"] = null;
  #onClosed: PeerSocket["onClosed"] = null;
  #early: Uint8Array[] = [];
  #closedFor: string | null = null;

  constructor(isolateId: string, socket: WebSocket | ClientSocket) {
    this.isolateId = isolateId;
    this.#socket = socket;
    this.lifetime = socket instanceof ClientSocket ? "borrowed" : "kept";
    this.transport = {
      send: (message) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(message);
      },
      bufferedBytes: () => socket.bufferedAmount,
    };
  }

  get onMessage(): PeerSocket["onMessage"] {
    return this.#onMessage;
  }
  set onMessage(listener: PeerSocket["onMessage"]) {
    this.#onMessage = listener;
    const early = this.#early;
    this.#early = [];
    for (const message of early) this.receive(message);
  }
  get onClosed(): PeerSocket["onClosed"] {
    return this.#onClosed;
  }
  set onClosed(listener: PeerSocket["onClosed"]) {
    this.#onClosed = listener;
    if (this.#closedFor !== null) this.closed(this.#closedFor);
  }

  receive(message: Uint8Array): void {
    if (this.#closedFor !== null) return;
    if (this.#onMessage === null) this.#early.push(message.slice());
    else this.#onMessage(message);
  }

  closed(reason: string): void {
    const onClosed = this.#onClosed;
    this.#closedFor ??= reason;
    this.#onClosed = null;
    this.#onMessage = null;
    onClosed?.(reason);
  }

  close(reason: string): void {
    this.#socket.close(1000);
    this.closed(reason);
  }
}
