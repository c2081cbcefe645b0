/** Links between isolates over a WebSocket of their own, where an isolate can be reached by a URL. */
import type { Log } from "@/lib/log.ts";
import { errorText } from "@/lib/log.ts";
import { ClientSocket } from "@/protocol/link/client_socket.ts";
import type { LinkTransport } from "@/protocol/link/multiplexer.ts";
import { limits } from "@/protocol/limits.ts";
import { PeerTickets } from "./peer_ticket.ts";

/** Header that carries the ticket of an upgrade to `/ws/peer`. */
export const TICKET_HEADER = "x-perch-peer";
/** How long connecting may take before the mailboxes are used instead, and how long they are used then. */
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
  log: Log;
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
    const { log } = this.#options;
    if ((this.#avoided.get(isolateId) ?? 0) > performance.now()) return null;
    try {
      const ticket = await this.#tickets.issue(this.#options.isolateId, isolateId);
      return await open(isolateId, url, ticket);
    } catch (error) {
      log.warn("peer_unreachable", { peer: isolateId, url, error: errorText(error) });
      this.#avoided.set(isolateId, performance.now() + AVOID_MS);
      return null;
    }
  }

  isolateGone(isolateId: string): void {
    this.#avoided.delete(isolateId);
  }

  /** Answers `/ws/peer`: 401 without a valid ticket for this very isolate, else the upgrade. */
  async upgrade(req: Request): Promise<Response> {
    const from = await this.#tickets.check(req.headers.get(TICKET_HEADER) ?? "", this.#options.isolateId);
    if (from === null) {
      const message = "/ws/peer is for isolates of this hub";
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
      const peer = wrap(from, socket);
      socket.onmessage = ({ data }) => {
        if (data instanceof ArrayBuffer) peer.onMessage?.(new Uint8Array(data));
        else peer.close("text on a link between isolates");
      };
      socket.onclose = () => closed(peer, "the other isolate's socket closed");
      socket.onerror = () => closed(peer, "the other isolate's socket failed");
      this.#options.onSocket(peer);
    };
    return response;
  }
}

async function open(isolateId: string, url: string, ticket: string): Promise<PeerSocket> {
  const target = new URL("/ws/peer", url);
  target.protocol = target.protocol === "https:" ? "wss:" : "ws:";
  const socket = new ClientSocket(target.href, { [TICKET_HEADER]: ticket });
  const opening = Promise.withResolvers<void>();
  const timer = setTimeout(() => opening.reject(new Error(`no answer within ${CONNECT_MS} ms`)), CONNECT_MS);
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
  const peer = wrap(isolateId, socket);
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") peer.onMessage?.(data);
    else peer.close("text on a link between isolates");
  };
  socket.onclose = ({ reason }) => closed(peer, reason);
  return peer;
}

function wrap(isolateId: string, socket: WebSocket | ClientSocket): PeerSocket {
  const peer: PeerSocket = {
    isolateId,
    lifetime: socket instanceof ClientSocket ? "borrowed" : "kept",
    transport: {
      send: (message) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(message);
      },
      bufferedBytes: () => socket.bufferedAmount,
    },
    onMessage: null,
    onClosed: null,
    close: (reason) => {
      socket.close(1000);
      closed(peer, reason);
    },
  };
  return peer;
}

function closed(peer: PeerSocket, reason: string): void {
  const { onClosed } = peer;
  peer.onClosed = null;
  peer.onMessage = null;
  onClosed?.(reason);
}
