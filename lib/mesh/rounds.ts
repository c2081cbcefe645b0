/** Questions to all peers at once, such as "do you know of my interest?", and the wait for their answers. */
import type { Peer } from "./peer.ts";

interface Round {
  waitingFor: Set<string>;
  /** Nobody waits any more: what the rest answers now comes late. */
  isOver: boolean;
  done(): void;
  onLate(peer: Peer): void;
}

/**
 * A peer that does not answer in time is dead as a rule, and its lease not over yet: it must not hold up the living. Should
 * it answer after all, `onLate` makes good for what may have been missed.
 */
export class Rounds {
  #peers: ReadonlyMap<string, Peer>;
  #answerMs: number;
  #rounds = new Map<number, Round>();
  #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(peers: ReadonlyMap<string, Peer>, answerMs: number) {
    this.#peers = peers;
    this.#answerMs = answerMs;
  }

  /**
   * Resolves when each peer that `ask` returned true for has answered with `id`, is gone, or has let `answerMs` pass. Whoever
   * let it pass once is not waited for again until it is heard of.
   */
  begin(id: number, ask: (peer: Peer) => boolean, onLate: (peer: Peer) => void): Promise<void> {
    const waitingFor = new Set<string>();
    let isWaiting = false;
    for (const peer of this.#peers.values()) {
      if (!ask(peer)) continue;
      waitingFor.add(peer.isolateId);
      isWaiting ||= !peer.isSilent;
    }
    if (waitingFor.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const round: Round = { waitingFor, isOver: !isWaiting, onLate, done: resolve };
      this.#rounds.set(id, round);
      if (round.isOver) return resolve();
      const timer = setTimeout(() => {
        for (const isolateId of waitingFor) {
          const peer = this.#peers.get(isolateId);
          if (peer) peer.isSilent = true;
        }
        round.done();
      }, this.#answerMs);
      this.#timers.add(timer);
      round.done = () => {
        round.isOver = true;
        clearTimeout(timer);
        this.#timers.delete(timer);
        resolve();
      };
    });
  }

  answered(id: number, peer: Peer): void {
    const round = this.#rounds.get(id);
    if (!round?.waitingFor.has(peer.isolateId)) return;
    if (round.isOver) round.onLate(peer);
    this.#settle(id, round, peer);
  }

  /** The peer is gone and will never answer. */
  gone(peer: Peer): void {
    for (const [id, round] of [...this.#rounds]) this.#settle(id, round, peer);
  }

  #settle(id: number, round: Round, peer: Peer): void {
    round.waitingFor.delete(peer.isolateId);
    if (round.waitingFor.size === 0) this.#rounds.delete(id);
    const isWaiting = [...round.waitingFor].some((isolateId) => !this.#peers.get(isolateId)?.isSilent);
    if (!isWaiting && !round.isOver) round.done();
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
