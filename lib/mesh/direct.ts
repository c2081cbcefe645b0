/**
 * The direct way to a peer: sockets between the two isolates, which carry the same numbered parts that its mailbox does, in a
 * tenth of the time. Either way may be used at any moment and nothing is lost, doubled or reordered:
 *
 * - Parts are numbered for both ways together, and the reader takes each number once.
 * - From mailbox to socket: first the other isolate is asked, over the socket, to say when it has taken all that was posted.
 * - From socket to mailbox (it broke, or is silent): what the other isolate did not say it had taken is posted first.
 */
import type { Part } from "./mailbox.ts";
import type { PeerSocket } from "./peer_sockets.ts";

/** How long the other isolate may take to say what it has taken, before its mailbox is used instead. */
const ANSWER_MS = 3_000;
/** A socket on which nothing was to be answered for this long is asked whether it still is one. */
const QUIET_MS = 5_000;
/** How often both are looked at. */
const LOOK_MS = 1_000;
/** What was taken is said this much later, once for all that came meanwhile. */
const TAKEN_MS = 20;

/** First byte of a message. All but `link` go on with a number (float64); in `part` the part's value follows. */
const kinds = {
  /** The name of the sender's way (UTF-8), which numbers its parts. The first message, both ways. */
  link: 1,
  part: 2,
  /** Say it when all parts before this number are taken. */
  ask: 3,
  /** All parts before this number are taken. */
  taken: 4,
} as const;
const HEAD_BYTES = 9;

export interface DirectOptions {
  /** The own way to the peer: its name, and the number of its next part. */
  readonly link: { readonly name: string; readonly nextNo: number };
  /** Takes a part of the peer's. */
  take(linkName: string, no: number, value: Uint8Array): void;
  /** All parts of the peer's way before this number are taken. */
  takenOf(linkName: string): number;
  /** Parts may be sent again, one way or the other. */
  onTurn(): void;
}

/** One socket and what the peer said on it. */
interface Lane {
  readonly socket: PeerSocket;
  /** The peer's way; null until it named it. */
  theirLink: string | null;
  /** What the peer wants to be told of, and was told of last. */
  asked: number | null;
  told: number;
}

/** The direct way to one peer. Its owner disposes it, and does not use it then. */
export class DirectWay {
  readonly #options: DirectOptions;
  /** In the order in which they came; the first is used. */
  readonly #lanes: Lane[] = [];
  #state: "closed" | "open" | "asking" | "direct" = "closed";
  /** Sent over a socket, and not said to be taken. */
  #untaken: Part[] = [];
  /** Since when an answer is due; null: none is. */
  #askedAtMs: number | null = null;
  #heardAtMs = 0;
  #timer: ReturnType<typeof setInterval> | null = null;
  #tellTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: DirectOptions) {
    this.#options = options;
  }

  /** Whether there is a socket to the peer, used or not. */
  get isConnected(): boolean {
    return this.#lanes.length > 0;
  }

  /** Whether parts are to be given to `send`. */
  get isDirect(): boolean {
    return this.#state === "direct";
  }

  /** A socket to the peer, whoever opened it. */
  add(socket: PeerSocket): void {
    const lane: Lane = { socket, theirLink: null, asked: null, told: 0 };
    this.#lanes.push(lane);
    socket.onMessage = (message) => this.#receive(lane, message);
    socket.onClosed = () => this.#remove(lane);
    const name = new TextEncoder().encode(this.#options.link.name);
    const hello = new Uint8Array(1 + name.length);
    hello[0] = kinds.link;
    hello.set(name, 1);
    socket.transport.send(hello);
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
    if (this.#state === "closed") this.#begin();
  }

  /**
   * Whether parts may be posted to the mailbox now; to be asked when none is being posted. False while the peer is asked
   * whether it has taken what was, and when `send` is to be used.
   */
  mayPost(): boolean {
    if (this.#state === "open" && this.#untaken.length > 0) return true;
    if (this.#state === "open") {
      this.#state = "asking";
      this.#ask();
    }
    return this.#state === "closed";
  }

  /** Sends parts. Only while `isDirect`. */
  send(parts: readonly Part[]): void {
    const { transport } = this.#lanes[0]!.socket;
    this.#askedAtMs ??= performance.now();
    for (const part of parts) {
      this.#untaken.push(part);
      const message = numbered(kinds.part, part.no, part.value.length);
      message.set(part.value, HEAD_BYTES);
      transport.send(message);
    }
  }

  /** What may not have arrived over a socket that is gone, to be posted before anything else. */
  takeUntaken(): Part[] {
    const parts = this.#untaken;
    this.#untaken = [];
    return parts;
  }

  /** Closes the sockets; what was not said to be taken stays for `takeUntaken`. */
  [Symbol.dispose](): void {
    for (const lane of [...this.#lanes]) this.#close(lane, "the isolates part");
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#tellTimer !== null) clearTimeout(this.#tellTimer);
    this.#timer = null;
    this.#tellTimer = null;
  }

  /** From now on the mailbox is used until the peer has taken all that is posted, and then the first socket. */
  #begin(): void {
    this.#state = this.#lanes.length === 0 ? "closed" : "open";
    this.#askedAtMs = null;
    this.#heardAtMs = performance.now();
    this.#options.onTurn();
  }

  #ask(): void {
    this.#askedAtMs ??= performance.now();
    this.#lanes[0]!.socket.transport.send(numbered(kinds.ask, this.#options.link.nextNo));
  }

  #look(): void {
    const lane = this.#lanes[0];
    if (lane === undefined) return;
    const nowMs = performance.now();
    if (this.#askedAtMs !== null && nowMs - this.#askedAtMs > ANSWER_MS) {
      this.#close(lane, "the other isolate is silent");
    } else if (this.#state === "direct" && this.#askedAtMs === null && nowMs - this.#heardAtMs > QUIET_MS) this.#ask();
  }

  #receive(lane: Lane, message: Uint8Array): void {
    const kind = message[0];
    if (kind === kinds.link && lane.theirLink === null) {
      const name = new TextDecoder().decode(message.subarray(1));
      // Whose parts they are is what the socket's ticket says.
      if (!name.startsWith(`${lane.socket.isolateId}/`)) return this.#close(lane, "the way is another isolate's");
      lane.theirLink = name;
      return;
    }
    if (lane.theirLink === null || message.length < HEAD_BYTES) {
      return this.#close(lane, "a message that is none of the mesh's");
    }
    const no = new DataView(message.buffer, message.byteOffset).getFloat64(1);
    switch (kind) {
      case kinds.part:
        this.#options.take(lane.theirLink, no, message.slice(HEAD_BYTES));
        this.#tellTimer ??= setTimeout(() => this.tell(), TAKEN_MS);
        break;
      case kinds.ask:
        lane.asked = no;
        this.tookParts();
        break;
      case kinds.taken:
        if (lane === this.#lanes[0]) this.#taken(no);
        break;
      default:
        this.#close(lane, "a message that is none of the mesh's");
    }
  }

  /** Parts of the peer's were taken, whichever way they came: it may wait for that. */
  tookParts(): void {
    for (const lane of this.#lanes) {
      if (lane.asked === null || this.#options.takenOf(lane.theirLink!) < lane.asked) continue;
      lane.asked = null;
      this.#tellLane(lane, true);
    }
  }

  /** Tells the peer what was taken. Soon after parts came that happens by itself. */
  tell(): void {
    if (this.#tellTimer !== null) clearTimeout(this.#tellTimer);
    this.#tellTimer = null;
    for (const lane of this.#lanes) this.#tellLane(lane, false);
  }

  #tellLane(lane: Lane, isAsked: boolean): void {
    if (lane.theirLink === null) return;
    const no = this.#options.takenOf(lane.theirLink);
    if (no <= lane.told && !isAsked) return;
    lane.told = no;
    lane.socket.transport.send(numbered(kinds.taken, no));
  }

  #taken(no: number): void {
    this.#heardAtMs = performance.now();
    const first = this.#untaken.findIndex((part) => part.no >= no);
    this.#untaken = first === -1 ? [] : this.#untaken.slice(first);
    this.#askedAtMs = this.#untaken.length === 0 && no >= this.#options.link.nextNo ? null : this.#heardAtMs;
    if (this.#state !== "asking" || no < this.#options.link.nextNo) return;
    this.#state = "direct";
    this.#options.onTurn();
  }

  #close(lane: Lane, reason: string): void {
    lane.socket.close(reason);
    this.#remove(lane);
  }

  #remove(lane: Lane): void {
    const at = this.#lanes.indexOf(lane);
    if (at === -1) return;
    this.#lanes.splice(at, 1);
    lane.socket.onMessage = null;
    lane.socket.onClosed = null;
    // Through the mailbox first, even when there is another socket: what was not taken may be anywhere between the two.
    if (at === 0) this.#begin();
  }
}

function numbered(kind: number, no: number, valueBytes = 0): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEAD_BYTES + valueBytes);
  message[0] = kind;
  new DataView(message.buffer).setFloat64(1, no);
  return message;
}
