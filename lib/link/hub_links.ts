/** The data links of one isolate's runners, and the way to those of other isolates. */
import type { Log } from "@/lib/log.ts";
import { errorText } from "@/lib/log.ts";
import type { MeshIsolateGone } from "@/lib/mesh/messages.ts";
import type { Mesh } from "@/lib/mesh/types.ts";
import { type HubLinks, type LinkStream, type StreamHeader, StreamResetError } from "@/protocol/link/types.ts";
import { type LinkLease, LinkStore } from "./link_store.ts";
import { asLinkStream, type PeerAddress, PeerLinks } from "./peer_links.ts";
import { joinStreams } from "./relay_streams.ts";

/** A runner's link whose socket is on this isolate. */
export interface LocalLink {
  readonly lease: LinkLease;
  /** Opens a stream. Throws StreamResetError. */
  open(header: StreamHeader): LinkStream;
  /** A newer registration took over: closes the socket. */
  supersede(): void;
  /** The runner was deleted: closes the socket for good. */
  expire(): void;
}

export interface HubLinkTableOptions {
  kv: Deno.Kv;
  mesh: Mesh;
  log: Log;
  /** Where other isolates reach this one; undefined: by the mesh only. */
  isolateUrl?: string;
}

export class HubLinkTable implements HubLinks {
  readonly #options: HubLinkTableOptions;
  readonly #store: LinkStore;
  readonly #peers: PeerLinks;
  readonly #isolates: { [Symbol.dispose](): void };
  readonly #local = new Map<string, LocalLink>();

  constructor(options: HubLinkTableOptions) {
    this.#options = options;
    const { kv, mesh, log } = options;
    this.#store = new LinkStore(kv);
    this.#peers = new PeerLinks({
      kv,
      mesh,
      log,
      onStream: (stream) => {
        const local = this.#local.get(stream.header.runnerId);
        if (local === undefined) {
          return stream.reset("unreachable", "the runner's link is not on this isolate any more");
        }
        try {
          joinStreams(stream, local.open(stream.header.stream));
        } catch (error) {
          if (!(error instanceof StreamResetError)) throw error;
          stream.reset(error.code, error.message);
        }
      },
    });
    this.#isolates = mesh.subscribe("hub", (payload) => {
      const gone = payload as Partial<MeshIsolateGone>;
      if (gone.type === "mesh_isolate_gone") this.#peers.isolateGone(gone.isolateId!);
    });
    mesh.serve("link_replaced", (params) => {
      const { runnerId, linkEpoch } = params as Pick<LinkLease, "runnerId" | "linkEpoch">;
      const local = this.#local.get(runnerId);
      if (local !== undefined && local.lease.linkEpoch < linkEpoch) local.supersede();
      return Promise.resolve(null);
    });
    mesh.serve("link_expired", (params) => {
      this.#local.get((params as { runnerId: string }).runnerId)?.expire();
      return Promise.resolve(null);
    });
  }

  /** See HubLinks.open. That the user may use the runner is the caller's to check. */
  async open(runnerId: string, header: StreamHeader): Promise<LinkStream> {
    const local = this.#local.get(runnerId);
    if (local !== undefined) return local.open(header);
    const holder = await this.#elsewhere(runnerId);
    if (holder === null) throw new StreamResetError("unreachable", "the runner has no data link to the hub now");
    return asLinkStream(await this.#peers.open(holder, { runnerId, stream: header }));
  }

  /** Records that the runner's link is here from now on. Null: the user has no such runner. */
  async register(userId: string, runnerId: string): Promise<LinkLease | null> {
    const { mesh, log, isolateUrl = null } = this.#options;
    const holder = await this.#elsewhere(runnerId);
    const lease = await this.#store.register(userId, mesh.isolateId, isolateUrl, runnerId);
    if (lease !== null && holder !== null) {
      const { linkEpoch } = lease;
      mesh.call(holder.isolateId, "link_replaced", { runnerId, linkEpoch })
        .catch((error) => log.debug("replace_call_failed", { runnerId, error: errorText(error) }));
    }
    return lease;
  }

  /** Takes a registered link into service in place of an older one; false when a newer one is here already. */
  attach(link: LocalLink): boolean {
    const { runnerId, linkEpoch } = link.lease;
    const older = this.#local.get(runnerId);
    if (older !== undefined && older.lease.linkEpoch > linkEpoch) return false;
    this.#local.set(runnerId, link);
    older?.supersede();
    return true;
  }

  /** The socket of a registered link is closed. */
  async release(lease: LinkLease): Promise<void> {
    if (this.#local.get(lease.runnerId)?.lease.linkEpoch === lease.linkEpoch) this.#local.delete(lease.runnerId);
    await this.#store.release(lease);
  }

  /** A runner was deleted: its link is closed, wherever it is. `isolateId`: where `holderOf` said before the deletion. */
  async expire(runnerId: string, isolateId: string): Promise<void> {
    await this.#options.mesh.call(isolateId, "link_expired", { runnerId });
  }

  /** The live isolate that holds the runner's link; null when there is none. */
  async holderOf(runnerId: string): Promise<string | null> {
    return this.#local.has(runnerId)
      ? this.#options.mesh.isolateId
      : (await this.#elsewhere(runnerId))?.isolateId ?? null;
  }

  /** Answers `/ws/peer`, where other isolates of this hub connect. */
  async upgradePeer(req: Request): Promise<Response> {
    return await this.#peers.upgrade(req);
  }

  /** Ends what is open with other isolates. The local links' sockets are the gateways'. */
  [Symbol.dispose](): void {
    this.#isolates[Symbol.dispose]();
    this.#peers[Symbol.dispose]();
  }

  async #elsewhere(runnerId: string): Promise<PeerAddress | null> {
    const { mesh } = this.#options;
    const holder = await this.#store.holderOf(runnerId);
    return holder !== null && holder.isolateId !== mesh.isolateId && mesh.isLive(holder.isolateId) ? holder : null;
  }
}
