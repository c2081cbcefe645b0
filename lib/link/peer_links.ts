/**
 * Streams to runners whose link another isolate holds: a multiplexer between each two isolates, over a socket
 * of their own or, where that cannot be, over the mesh's calls.
 */
import { setImmediate } from "node:timers";
import * as z from "zod";
import type { Log } from "@/lib/log.ts";
import { errorText } from "@/lib/log.ts";
import { type PeerSocket, PeerSockets } from "@/lib/mesh/peer_sockets.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import { type LinkTransport, Multiplexer } from "@/protocol/link/multiplexer.ts";
import type { MuxStream } from "@/protocol/link/stream.ts";
import { linkLimits, StreamHeader, StreamResetError } from "@/protocol/link/types.ts";
import { Id } from "@/protocol/shared.ts";

/** What a stream between isolates is for. */
export const PeerHeader = z.object({ runnerId: Id, stream: StreamHeader });
export type PeerHeader = z.infer<typeof PeerHeader>;

/** Credit of a stream and bytes on their way between two isolates: a mailbox is no place for much. */
const WINDOW_BYTES = 256 * 1024;
const IN_FLIGHT_BYTES = 512 * 1024;
/** Credit that each stream begins with, and always may have. There may be many more of them than on a runner's link. */
const FIRST_BYTES = 8 * 1024;
/** A link over a socket that says nothing for this long is pinged; after the silence of all sockets it is lost. */
const PING_MS = linkLimits.silenceMs / 3;
/** Streams that one isolate may have open to another. */
const MAX_STREAMS = 8_192;
/** An isolate that takes a message later than this is not one to have streams with. */
const CALL_TIMEOUT_MS = 30_000;

/** The call that carries one message. `isFirst`: the link begins with it. */
interface LinkMessage {
  linkId: string;
  isFirst: boolean;
  /** Base64. */
  frames: string;
}

/** Another isolate, and its URL when it has one. */
export interface PeerAddress {
  isolateId: string;
  url: string | null;
}

export interface PeerLinksOptions {
  kv: Deno.Kv;
  mesh: Mesh;
  log: Log;
  /** Another isolate opens a stream to a runner whose link is said to be here. */
  onStream(stream: MuxStream<PeerHeader>): void;
}

export class PeerLinks {
  readonly #options: PeerLinksOptions;
  /** Those that this isolate opens streams on, by isolate, and those that others do, by id. */
  readonly #own = new Map<string, PeerLink>();
  readonly #others = new Map<string, PeerLink>();
  readonly #connecting = new Map<string, Promise<PeerLink>>();
  readonly #sockets: PeerSockets;
  readonly #heart: ReturnType<typeof setInterval>;

  constructor(options: PeerLinksOptions) {
    this.#options = options;
    const { kv, mesh, log } = options;
    this.#sockets = new PeerSockets({
      kv,
      isolateId: mesh.isolateId,
      path: "/ws/peer",
      onUnreachable: (peer, url, error) => log.warn("peer_unreachable", { peer, url, error }),
      onSocket: (socket) => {
        const link = this.#overSocket(socket, crypto.randomUUID(), true);
        this.#others.set(link.linkId, link);
      },
    });
    this.#heart = setInterval(() => this.#beat(), PING_MS);
    // The methods must do nothing that waits before they hand the message over: the order would be lost.
    mesh.serve("link_message", (params, from) => {
      this.#receive(params as LinkMessage, from);
      return Promise.resolve(null);
    });
    mesh.serve("link_lost", (params, from) => {
      const { linkId, reason } = params as { linkId: string; reason: string };
      const link = this.#find(linkId, from);
      if (link !== undefined) this.#drop(link, reason);
      return Promise.resolve(null);
    });
  }

  /** Opens a stream to a runner at an isolate. Throws StreamResetError. */
  async open(peer: PeerAddress, header: PeerHeader): Promise<MuxStream<PeerHeader>> {
    const link = this.#own.get(peer.isolateId) ?? await this.#linkTo(peer);
    return link.multiplexer.open(header);
  }

  /** See PeerSockets.upgrade. */
  async upgrade(req: Request): Promise<Response> {
    return await this.#sockets.upgrade(req);
  }

  #linkTo(peer: PeerAddress): Promise<PeerLink> {
    const { isolateId } = peer;
    let connecting = this.#connecting.get(isolateId);
    if (connecting === undefined) {
      connecting = this.#connect(peer).finally(() => this.#connecting.delete(isolateId));
      this.#connecting.set(isolateId, connecting);
    }
    return connecting;
  }

  async #connect({ isolateId, url }: PeerAddress): Promise<PeerLink> {
    const linkId = crypto.randomUUID();
    const socket = url === null ? null : await this.#sockets.connect(isolateId, url);
    const link = socket === null ? this.#overMesh(isolateId, linkId, false) : this.#overSocket(socket, linkId, false);
    this.#own.set(isolateId, link);
    return link;
  }

  /** An isolate is gone, and what was open with it. */
  isolateGone(isolateId: string): void {
    this.#sockets.isolateGone(isolateId);
    for (const link of [...this.#own.values(), ...this.#others.values()]) {
      if (link.isolateId === isolateId) this.#drop(link, "the isolate that holds the other end is gone");
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heart);
    for (const link of [...this.#own.values(), ...this.#others.values()]) this.#lose(link, "the hub is shutting down");
  }

  #receive({ linkId, isFirst, frames }: LinkMessage, from: string): void {
    let link = this.#find(linkId, from);
    if (link === undefined && isFirst) {
      link = this.#overMesh(from, linkId, true);
      this.#others.set(linkId, link);
    }
    if (link === undefined) throw new Error("there is no such link between these isolates (any more)");
    link.multiplexer.receive(Uint8Array.fromBase64(frames));
  }

  #find(linkId: string, from: string): PeerLink | undefined {
    const own = this.#own.get(from);
    if (own?.linkId === linkId) return own;
    const other = this.#others.get(linkId);
    return other?.isolateId === from ? other : undefined;
  }

  #overMesh(isolateId: string, linkId: string, isAccepting: boolean): PeerLink {
    let isFirst = !isAccepting;
    let bufferedBytes = 0;
    const transport: LinkTransport = {
      bufferedBytes: () => bufferedBytes,
      send: (message) => {
        const params: LinkMessage = { linkId, isFirst, frames: message.toBase64() };
        const { length } = message;
        isFirst = false;
        bufferedBytes += length;
        this.#options.mesh.call(isolateId, "link_message", params, { timeoutMs: CALL_TIMEOUT_MS }).then(
          () => bufferedBytes -= length,
          (error) => this.#lose(link, errorText(error)),
        );
      },
    };
    const bounds = { windowBytes: WINDOW_BYTES, socketBytes: IN_FLIGHT_BYTES };
    const link: PeerLink = {
      isolateId,
      linkId,
      socket: null,
      lastHeardMs: 0,
      multiplexer: this.#multiplexer(transport, isAccepting, (reason) => this.#lose(link, reason), bounds),
    };
    return link;
  }

  #overSocket(socket: PeerSocket, linkId: string, isAccepting: boolean): PeerLink {
    const { isolateId, transport } = socket;
    const link: PeerLink = {
      isolateId,
      linkId,
      socket,
      lastHeardMs: performance.now(),
      multiplexer: this.#multiplexer(transport, isAccepting, (reason) => this.#lose(link, reason), {}),
    };
    socket.onMessage = (message) => {
      link.lastHeardMs = performance.now();
      link.multiplexer.receive(message, socket.lifetime);
    };
    socket.onClosed = (reason) => this.#drop(link, reason);
    return link;
  }

  #multiplexer(
    transport: LinkTransport,
    isAccepting: boolean,
    onFailed: (reason: string) => void,
    bounds: { windowBytes?: number; socketBytes?: number },
  ): Multiplexer<PeerHeader> {
    return new Multiplexer({
      ...bounds,
      transport,
      header: PeerHeader,
      streams: MAX_STREAMS,
      firstBytes: FIRST_BYTES,
      schedule: (pump) => void setImmediate(pump),
      onFailed: (error) => onFailed(error.message),
      ...(isAccepting ? { onStream: (stream) => this.#options.onStream(stream) } : {}),
    });
  }

  /** Pings quiet isolates on the other ends of sockets, and gives up dead ones. The mesh looks after those of mailboxes. */
  #beat(): void {
    const nowMs = performance.now();
    for (const link of [...this.#own.values(), ...this.#others.values()]) {
      if (link.socket === null) continue;
      const silentMs = nowMs - link.lastHeardMs;
      if (silentMs >= linkLimits.silenceMs) this.#lose(link, "the other isolate is silent");
      else if (silentMs >= PING_MS / 2) link.multiplexer.ping();
    }
  }

  /** Gives a link up and says so to the other end, which may not have noticed. */
  #lose(link: PeerLink, reason: string): void {
    if (!this.#drop(link, reason)) return;
    const { isolateId, linkId } = link;
    if (link.socket !== null) return link.socket.close(reason);
    const { mesh, log } = this.#options;
    log.info("peer_link_lost", { peer: isolateId, reason });
    mesh.call(isolateId, "link_lost", { linkId, reason })
      .catch((error) => log.debug("peer_link_lost_not_said", { peer: isolateId, error: errorText(error) }));
  }

  #drop(link: PeerLink, reason: string): boolean {
    const isOwn = this.#own.get(link.isolateId) === link && this.#own.delete(link.isolateId);
    const isOther = this.#others.get(link.linkId) === link && this.#others.delete(link.linkId);
    link.multiplexer.lost(reason);
    return isOwn || isOther;
  }
}

interface PeerLink {
  readonly isolateId: string;
  readonly linkId: string;
  readonly multiplexer: Multiplexer<PeerHeader>;
  /** Null: over the mesh. */
  readonly socket: PeerSocket | null;
  lastHeardMs: number;
}

/** The same stream under the header that the runner got. */
export function asLinkStream(stream: MuxStream<PeerHeader>) {
  return {
    header: stream.header.stream,
    closed: stream.closed,
    read: () => stream.read(),
    write: (bytes: Uint8Array) => stream.write(bytes),
    end: () => stream.end(),
    reset: (code: StreamResetError["code"], message?: string) => stream.reset(code, message),
  };
}
