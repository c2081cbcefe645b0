/** Who is in the mesh: this isolate's lease, the others', and the sockets to those that can be reached directly. */
import { keys } from "@/lib/kv/keys.ts";
import { KvLease } from "@/lib/kv/lease.ts";
import { DirectWay } from "./direct.ts";
import type { IsolateRow } from "./lease.ts";
import { type Arrival, Link, type MailboxReader, removeMailbox } from "./mailbox.ts";
import { Peer } from "./peer.ts";
import { PeerSockets } from "./peer_sockets.ts";

export interface MembershipOptions {
  kv: Deno.Kv;
  isolateId: string;
  slot: { name: string; boot: string };
  url: string | undefined;
  leaseMs: number;
  renewMs: number;
  maxOutboxBytes: number;
  now: () => number;
  clockMs: () => number;
  reader: MailboxReader;
  onUnreachable(isolateId: string, url: string, reason: string): void;
  onError(error: unknown): void;
  /** Messages came over a socket. */
  onArrival(arrival: Arrival): void;
  /** Something may be sent that could not be before. */
  onTurn(): void;
  /** A peer is gone, and not in `peers` any more. */
  onGone(peer: Peer): void;
  /** The own lease was lost. Others took this isolate for dead, and nothing connects it to any of them any more: enter again. */
  onLost(): void;
}

export class Membership {
  /** The other isolates, by id. */
  readonly peers = new Map<string, Peer>();
  readonly #options: MembershipOptions;
  readonly #lease: KvLease<IsolateRow>;
  readonly #sockets: PeerSockets;
  /** Start of the newest link, in ms and never the same twice. */
  #linkStart = 0;
  #beatTimer: ReturnType<typeof setTimeout> | null = null;
  #beating: Promise<void> | null = null;
  #isLeaving = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    const { kv, isolateId, slot, url, leaseMs, now, onUnreachable } = options;
    const row = { isolateId, slot: slot.name, boot: slot.boot, ...(url === undefined ? {} : { url }) };
    this.#lease = new KvLease(kv, keys.isolate.lease(isolateId), row, { leaseMs, now });
    this.#sockets = new PeerSockets({
      kv,
      isolateId,
      path: "/ws/mesh",
      onUnreachable,
      onSocket: (socket) => {
        const peer = this.peers.get(socket.isolateId);
        if (peer && !this.#isLeaving) peer.direct.add(socket);
        else socket.close("the isolate is not known here (any more)");
      },
    });
  }

  /** Takes the lease and finds the others; what dead ones left is removed. */
  async enter(): Promise<void> {
    const { slot, leaseMs, now, clockMs } = this.#options;
    await this.#lease.acquire();
    for (const { value: row, versionstamp } of await this.#readRows()) {
      const isOldBoot = row.slot === slot.name && row.boot !== slot.boot;
      // At first sight there is only the wall clock to go by. Whoever is wronged by it finds out and joins again.
      if (isOldBoot || row.expiresAt <= now()) await this.#bury(row.isolateId);
      else this.#saw(row, versionstamp, clockMs() + leaseMs);
    }
  }

  /** From now on the lease is renewed, and looked who lives. */
  start(): void {
    if (this.#isLeaving) return;
    this.#beatTimer = setTimeout(() => {
      this.#beating = this.#beat().catch(this.#options.onError).finally(() => {
        this.#beating = null;
        this.start();
      });
    }, this.#options.renewMs);
  }

  /** Gives the lease up. The peers stay, to take leave of. What the database refuses is reported. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    if (this.#beatTimer !== null) clearTimeout(this.#beatTimer);
    await this.#beating;
    await this.#lease.release().catch(this.#options.onError);
  }

  /** The peer of this id, as of now when it is new. */
  add(isolateId: string): Peer {
    let peer = this.peers.get(isolateId);
    if (peer) return peer;
    const { isolateId: self, reader, leaseMs, maxOutboxBytes: maxBytes, now, clockMs, onArrival, onTurn } =
      this.#options;
    this.#linkStart = Math.max(now(), this.#linkStart + 1);
    const link = new Link(self, isolateId, this.#linkStart);
    const direct = new DirectWay({
      link,
      take: (linkName, no, value) => reader.take(linkName, no, value, onArrival),
      takenOf: (linkName) => reader.takenOf(linkName),
      onTurn,
    });
    peer = new Peer({ isolateId, aliveUntilMs: clockMs() + leaseMs, link, direct, maxBytes });
    this.peers.set(isolateId, peer);
    return peer;
  }

  /** Begins anew with a peer that did. */
  replace(peer: Peer): Peer {
    this.#drop(peer);
    return this.add(peer.isolateId);
  }

  /** The peer is gone. */
  forget(peer: Peer): void {
    this.#drop(peer);
    this.#sockets.isolateGone(peer.isolateId);
    this.#options.reader.forget(peer.isolateId);
    this.#options.onGone(peer);
  }

  isLive(isolateId: string): boolean {
    const peer = this.peers.get(isolateId);
    return peer !== undefined && peer.aliveUntilMs > this.#options.clockMs();
  }

  /** Opens a socket to a peer that has a URL, unless there is one already. Never rejects. */
  async connect(peer: Peer): Promise<void> {
    if (peer.url === null || peer.direct.isConnected || this.#isLeaving) return;
    const socket = await this.#sockets.connect(peer.isolateId, peer.url);
    if (socket === null) return;
    if (this.peers.get(peer.isolateId) === peer && !this.#isLeaving) peer.direct.add(socket);
    else socket.close("the isolate is gone");
  }

  /** See Mesh.upgrade. */
  async upgrade(req: Request): Promise<Response> {
    return await this.#sockets.upgrade(req);
  }

  async #readRows(): Promise<Deno.KvEntry<IsolateRow>[]> {
    const { kv, isolateId } = this.#options;
    const rows: Deno.KvEntry<IsolateRow>[] = [];
    for await (const row of kv.list<IsolateRow>({ prefix: keys.isolate.all() })) {
      if (row.value.isolateId !== isolateId) rows.push(row);
    }
    return rows;
  }

  #saw({ isolateId, url }: IsolateRow, versionstamp: string, aliveUntilMs: number): void {
    const peer = this.add(isolateId);
    peer.saw(versionstamp, aliveUntilMs);
    peer.url = url ?? null;
  }

  #drop(peer: Peer): void {
    this.peers.delete(peer.isolateId);
    peer.direct[Symbol.dispose]();
  }

  /** Removes what a dead isolate left. Should it live after all, it finds its lease gone and joins again. */
  async #bury(isolateId: string): Promise<void> {
    await this.#options.kv.delete(keys.isolate.lease(isolateId));
    await removeMailbox(this.#options.kv, isolateId);
  }

  /** Renews the own lease and looks who lives. */
  async #beat(): Promise<void> {
    const { kv, isolateId, leaseMs, clockMs, onLost } = this.#options;
    if (!await this.#lease.renew()) {
      // It stood still for longer than its lease.
      for (const peer of [...this.peers.values()]) this.forget(peer);
      await removeMailbox(kv, isolateId);
      return onLost();
    }
    // A lease that is renewed changes: whose has not for its whole length is dead, whatever anybody's wall clock says.
    const aliveUntilMs = clockMs() + leaseMs;
    for (const { value, versionstamp } of await this.#readRows()) this.#saw(value, versionstamp, aliveUntilMs);
    for (const peer of [...this.peers.values()]) {
      if (peer.aliveUntilMs > clockMs()) {
        void this.connect(peer);
        continue;
      }
      await this.#bury(peer.isolateId);
      this.forget(peer);
    }
  }
}
