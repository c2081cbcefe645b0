/** Streams to runners whose link another isolate holds: a multiplexer between each two isolates, over the mesh's calls. */
import * as z from "zod";
import type { Log } from "@/lib/log.ts";
import { errorText } from "@/lib/log.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import { type LinkTransport, Multiplexer } from "@/protocol/link/multiplexer.ts";
import type { MuxStream } from "@/protocol/link/stream.ts";
import { StreamHeader, StreamResetError } from "@/protocol/link/types.ts";
import { Id } from "@/protocol/shared.ts";

/** What a stream between isolates is for. */
export const PeerHeader = z.object({ runnerId: Id, stream: StreamHeader });
export type PeerHeader = z.infer<typeof PeerHeader>;

/** Credit of a stream and bytes on their way between two isolates: a mailbox is no place for much. */
const WINDOW_BYTES = 256 * 1024;
const IN_FLIGHT_BYTES = 512 * 1024;
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

export interface PeerLinksOptions {
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

  constructor(options: PeerLinksOptions) {
    this.#options = options;
    const { mesh } = options;
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
  open(isolateId: string, header: PeerHeader): MuxStream<PeerHeader> {
    let link = this.#own.get(isolateId);
    if (link === undefined) {
      link = this.#begin(isolateId, crypto.randomUUID(), false);
      this.#own.set(isolateId, link);
    }
    return link.multiplexer.open(header);
  }

  /** An isolate is gone, and what was open with it. */
  isolateGone(isolateId: string): void {
    for (const link of [...this.#own.values(), ...this.#others.values()]) {
      if (link.isolateId === isolateId) this.#drop(link, "the isolate that holds the other end is gone");
    }
  }

  [Symbol.dispose](): void {
    for (const link of [...this.#own.values(), ...this.#others.values()]) this.#lose(link, "the hub is shutting down");
  }

  #receive({ linkId, isFirst, frames }: LinkMessage, from: string): void {
    let link = this.#find(linkId, from);
    if (link === undefined && isFirst) {
      link = this.#begin(from, linkId, true);
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

  #begin(isolateId: string, linkId: string, isAccepting: boolean): PeerLink {
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
    const link: PeerLink = {
      isolateId,
      linkId,
      multiplexer: new Multiplexer({
        transport,
        header: PeerHeader,
        windowBytes: WINDOW_BYTES,
        socketBytes: IN_FLIGHT_BYTES,
        streams: MAX_STREAMS,
        onFailed: (error) => this.#lose(link, error.message),
        ...(isAccepting ? { onStream: (stream) => this.#options.onStream(stream) } : {}),
      }),
    };
    return link;
  }

  /** Gives a link up and says so to the other end, which may not have noticed. */
  #lose(link: PeerLink, reason: string): void {
    if (!this.#drop(link, reason)) return;
    const { isolateId, linkId } = link;
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
